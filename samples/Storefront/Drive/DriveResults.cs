namespace Storefront.Drive;

/// <summary>What the client side has seen so far. Written by many requests at once, read by the table.</summary>
internal sealed class DriveResults
{
    private long _sent;
    private long _ok;
    private long _errors;
    private long _degraded;
    private long _orders;
    private string? _firstError;

    public LatencyHistogram Latency { get; } = new();

    public long Sent => Interlocked.Read(ref _sent);

    public long Ok => Interlocked.Read(ref _ok);

    public long Errors => Interlocked.Read(ref _errors);

    public long Degraded => Interlocked.Read(ref _degraded);

    public long Orders => Interlocked.Read(ref _orders);

    /// <summary>The first thing that went wrong, which is the one that explains the others.</summary>
    public string? FirstError => Volatile.Read(ref _firstError);

    public void AddSent() => Interlocked.Increment(ref _sent);

    public void AddOk() => Interlocked.Increment(ref _ok);

    public void AddDegraded() => Interlocked.Increment(ref _degraded);

    public void AddOrder() => Interlocked.Increment(ref _orders);

    public void AddError(string what)
    {
        Interlocked.Increment(ref _errors);
        Interlocked.CompareExchange(ref _firstError, what, null);
    }
}
