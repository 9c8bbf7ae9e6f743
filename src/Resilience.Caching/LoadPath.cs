using Resilience.Caching.Flights;
using Resilience.Caching.Loading;
using Resilience.Caching.Shared;

namespace Resilience.Caching;

/// <summary>
/// What a flight does, in this order, each step in a room of its own: (4) the shared tier, <see cref="SharedLook"/>; (5) the turn among
/// nodes, <see cref="LeaseTurn"/>; (6) the factory, <see cref="SourceCall"/>; (7) the commit, <see cref="LoadCommit"/>. What happens when
/// one of them fails is in <see cref="LoadFailure"/>, what happens when time runs out in <see cref="LoadTimers"/>.
/// </summary>
internal sealed class LoadPath
{
    private readonly CacheCore _core;
    private readonly LeaseTurn _turns;

    public LoadPath(CacheCore core, SharedWriter writer)
    {
        _core = core;
        Failure = new LoadFailure(core);
        Timers = new LoadTimers(core, Failure);
        Shared = new SharedLook(core, writer);
        _turns = new LeaseTurn(core, Shared, Timers);
        Source = new SourceCall(core, Timers);
        Commit = new LoadCommit(core, writer);
    }

    public SharedLook Shared { get; }

    public SourceCall Source { get; }

    public LoadCommit Commit { get; }

    public LoadFailure Failure { get; }

    public LoadTimers Timers { get; }

    /// <summary>Flies: to the end, answering on the way. Never throws.</summary>
    public async Task RunAsync<T>(Flight<T> flight)
    {
        try
        {
            SharedStamp? stamp = null;
            if (_core.Shared is { IsEnabled: true } && (flight.Policy.ReadsShared || flight.Policy.WritesShared))
            {
                stamp = await Shared.LookAsync(flight).ConfigureAwait(false);
                if (!flight.IsDone)
                {
                    await _turns.TakeAsync(flight, stamp).ConfigureAwait(false);
                }
            }

            if (flight.IsDone)
            {
                return;
            }

            if (!flight.Policy.Loads)
            {
                flight.Answer(default!, null, CacheOrigin.None, isStale: false);
                return;
            }

            Loaded<T> loaded = await Source.LoadAsync(flight).ConfigureAwait(false);
            await Commit.CommitAsync(flight, loaded, stamp).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            Failure.Settle(flight, exception);
        }
        finally
        {
            flight.Finish();
            flight.ReleaseLease();
            if (flight.Scope is not null)
            {
                await Source.EndScopeAsync(flight).ConfigureAwait(false);
            }
        }
    }

    /// <summary>A caller gives up. The last one to do so ends the flight.</summary>
    public void Leave(Flight flight)
    {
        lock (flight.Stripe.Lock)
        {
            if (--flight.Waiters > 0 || flight.IsAnswered)
            {
                return;
            }

            flight.Stripe.RemoveUnderLock(flight);
        }

        Timers.Cancel(flight);
    }
}
