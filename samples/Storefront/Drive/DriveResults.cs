namespace Storefront.Drive;

/// <summary>What the client side has seen so far. Written by many requests at once, read by the table.</summary>
internal sealed class DriveResults
{
    private long _sent;
    private long _ok;
    private long _errors;
    private long _degraded;
    private long _orders;
    private long _wrong;
    private long _changes;
    private string? _firstError;
    private string? _firstWrong;

    public LatencyHistogram Latency { get; } = new();

    public long Sent => Interlocked.Read(ref _sent);

    public long Ok => Interlocked.Read(ref _ok);

    public long Errors => Interlocked.Read(ref _errors);

    public long Degraded => Interlocked.Read(ref _degraded);

    public long Orders => Interlocked.Read(ref _orders);

    /// <summary>Answers that were not true; each is an error too.</summary>
    public long Wrong => Interlocked.Read(ref _wrong);

    /// <summary>Changes of a price that were confirmed.</summary>
    public long Changes => Interlocked.Read(ref _changes);

    /// <summary>The first thing that went wrong, which is the one that explains the others.</summary>
    public string? FirstError => Volatile.Read(ref _firstError);

    /// <summary>The first answer that was not true.</summary>
    public string? FirstWrong => Volatile.Read(ref _firstWrong);

    public DriveCounts Read() => new(Sent, Errors, Wrong);

    public void AddSent() => Interlocked.Increment(ref _sent);

    public void AddOk() => Interlocked.Increment(ref _ok);

    public void AddDegraded() => Interlocked.Increment(ref _degraded);

    public void AddOrder() => Interlocked.Increment(ref _orders);

    public void AddChange() => Interlocked.Increment(ref _changes);

    public void AddError(string what)
    {
        Interlocked.Increment(ref _errors);
        Interlocked.CompareExchange(ref _firstError, what, null);
    }

    public void AddWrong(string what)
    {
        Interlocked.Increment(ref _wrong);
        Interlocked.CompareExchange(ref _firstWrong, what, null);
        AddError(what);
    }
}

/// <summary>How many there were of each at one moment.</summary>
internal readonly record struct DriveCounts(long Sent, long Errors, long Wrong);
