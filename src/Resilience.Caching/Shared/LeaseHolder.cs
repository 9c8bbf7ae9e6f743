namespace Resilience.Caching.Shared;

/// <summary>The lease under which this node loads a key: renewed while it is held, given back when it is disposed.</summary>
internal sealed class LeaseHolder : IAsyncDisposable
{
    private readonly SharedTierClient _shared;
    private readonly string _key;
    private readonly string _token;
    private readonly ITimer _renewal;

    public LeaseHolder(CacheCore core, string key, string token, long fence)
    {
        _shared = core.Shared!;
        _key = key;
        _token = token;
        Fence = fence;
        TimeSpan third = core.Settings.Shared.LeaseDuration / 3;
        using (ExecutionContext.SuppressFlow())
        {
            _renewal = core.Time.CreateTimer(static state => _ = ((LeaseHolder)state!).RenewAsync(), this, third, third);
        }
    }

    /// <summary>The lease's number: a write under an older one is refused.</summary>
    public long Fence { get; }

    public async ValueTask DisposeAsync()
    {
        await _renewal.DisposeAsync().ConfigureAwait(false);
        await _shared.ReleaseAsync(_key, _token).ConfigureAwait(false);
    }

    private async Task RenewAsync()
    {
        if (!await _shared.TryRenewAsync(_key, _token).ConfigureAwait(false))
        {
            // Lost or out of reach: the fence keeps our late write out if somebody else has taken over.
            await _renewal.DisposeAsync().ConfigureAwait(false);
        }
    }
}
