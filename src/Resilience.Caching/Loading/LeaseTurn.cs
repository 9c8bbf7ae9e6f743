using Resilience.Caching.Flights;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// Step 5: nodes take turns. The one that gets the key's lease loads; the others look into the shared tier now and then until the value
/// is there. Whoever has waited long enough, or cannot reach the store of leases, loads without: leases save work, nothing rests on them.
/// </summary>
internal sealed class LeaseTurn(CacheCore core, SharedLook shared, LoadTimers timers)
{
    private const double FirstPause = 5;
    private const double LongestPause = 100;

    /// <summary>Takes the lease, which the flight then holds, or waits until the flight is answered or patience is at an end.</summary>
    public ValueTask TakeAsync<T>(Flight<T> flight, SharedStamp stamp)
    {
        // Without reading nobody would see what the holder of the lease brings, without writing nobody would see what we bring.
        bool takes = core.Shared!.HasLeases && stamp.MayWrite && flight.Policy.Loads && flight.Policy.ReadsShared && flight.Policy.WritesShared;
        return takes ? WaitAsync(flight, stamp) : default;
    }

    private async ValueTask WaitAsync<T>(Flight<T> flight, SharedStamp stamp)
    {
        flight.BeganAt = core.Clock.Milliseconds;
        timers.Arm(flight);
        string key = core.KeyPrefix + flight.Key;
        string token = Guid.NewGuid().ToString("N");
        long patience = core.Clock.Milliseconds + (long)core.Settings.Shared.LeaseWait.TotalMilliseconds;
        double pause = FirstPause;
        while (!flight.IsDone)
        {
            (SharedOutcome outcome, long fence) = await core.Shared!.TryLeaseAsync(key, token, stamp.Budget).ConfigureAwait(false);
            if (outcome != SharedOutcome.Done)
            {
                return;
            }

            if (fence != 0)
            {
                await HoldAsync(flight, stamp, new LeaseHolder(core, key, token, fence)).ConfigureAwait(false);
                return;
            }

            if (pause == FirstPause)
            {
                core.Statistics.Add(CacheCount.LeaseWait);
            }

            if (core.Clock.Milliseconds >= patience)
            {
                return;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(pause * (0.5 + core.Random())), core.Time, flight.Cancellation.Token).ConfigureAwait(false);
            pause = Math.Min(pause * 1.5, LongestPause);
            stamp.Budget = core.Shared.Budget(hasStale: flight.Stale is not null); // The tier answered; the wait was for the other node.
            if (!await shared.LookAgainAsync(flight, stamp).ConfigureAwait(false))
            {
                return;
            }
        }
    }

    private async ValueTask HoldAsync<T>(Flight<T> flight, SharedStamp stamp, LeaseHolder lease)
    {
        flight.Lease = lease;

        // Between our look and our lease, the one before us may have written.
        await shared.LookAgainAsync(flight, stamp).ConfigureAwait(false);
        if (flight.IsDone)
        {
            flight.ReleaseLease();
            return;
        }

        stamp.Fence = lease.Fence;
    }
}
