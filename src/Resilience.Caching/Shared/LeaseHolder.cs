using Resilience.Caching.Flights;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Shared;

/// <summary>The lease under which this node loads a key: renewed while it is held, given back when it is disposed.</summary>
internal sealed class LeaseHolder : IAsyncDisposable
{
    private readonly SharedTierClient _shared;
    private readonly string _key;
    private readonly string _token;
    private readonly ITimer _renewal;

    private LeaseHolder(CacheCore core, SharedTierClient shared, string key, string token, long fence)
    {
        _shared = shared;
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

    /// <summary>
    /// Takes the lease, or waits for the one who holds it. Whoever waits too long, or cannot reach the store, loads without.
    /// </summary>
    /// <param name="core">The cache.</param>
    /// <param name="shared">Its shared tier.</param>
    /// <param name="flight">The flight that wants to load.</param>
    /// <param name="look">Looks into the shared tier, and answers the flight if there is a fresh value.</param>
    /// <returns>The lease; <see langword="null"/> without one, or when the flight was answered.</returns>
    public static async ValueTask<LeaseHolder?> TakeAsync(CacheCore core, SharedTierClient shared, Flight flight, Func<ValueTask<bool>> look)
    {
        string key = core.KeyPrefix + flight.Key;
        string token = Guid.NewGuid().ToString("N");
        long patience = core.Clock.Milliseconds + (long)core.Settings.Shared.LeaseWait.TotalMilliseconds;
        double pause = 5;
        bool waited = false;
        while (true)
        {
            (SharedOutcome outcome, long fence) = await shared.TryLeaseAsync(key, token).ConfigureAwait(false);
            if (outcome != SharedOutcome.Done)
            {
                return null;
            }

            if (fence != 0)
            {
                var lease = new LeaseHolder(core, shared, key, token, fence);

                // Between our look and our lease, the one before us may have written.
                await look().ConfigureAwait(false);
                if (!flight.IsAnswered)
                {
                    return lease;
                }

                await lease.DisposeAsync().ConfigureAwait(false);
                return null;
            }

            if (!waited)
            {
                waited = true;
                core.Statistics.Add(CacheCount.LeaseWait);
            }

            if (core.Clock.Milliseconds >= patience)
            {
                return null;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(pause * (0.5 + core.Random())), core.Time, flight.Cancellation.Token).ConfigureAwait(false);
            pause = Math.Min(pause * 1.5, 100);
            if (!await look().ConfigureAwait(false) || flight.IsAnswered)
            {
                return null;
            }
        }
    }

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
