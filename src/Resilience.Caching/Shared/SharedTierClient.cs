using Polly;
using Resilience.Caching.Telemetry;
using Resilience.Context;

namespace Resilience.Caching.Shared;

/// <summary>How a call to the shared tier ended.</summary>
internal enum SharedOutcome
{
    /// <summary>The tier answered.</summary>
    Done,

    /// <summary>The tier answered that the condition did not hold.</summary>
    Refused,

    /// <summary>The tier failed, timed out or was left alone.</summary>
    Unavailable,
}

/// <summary>
/// The shared tier as the cache uses it: every call within a timeout, counted by the breaker, never throwing. A call that is given up
/// is cancelled; one that does not listen goes on alone, its outcome looked at by nobody.
/// </summary>
internal sealed class SharedTierClient
{
    private readonly ISharedTier _tier;
    private readonly ILeaseStore? _leases;
    private readonly Func<SharedTierOptions> _options;
    private readonly TimeProvider _time;
    private readonly CacheStatistics _statistics;
    private readonly SharedBreaker _breaker;
    private readonly CoarseClock _clock;
    private readonly ResiliencePipeline? _pipeline;

    public SharedTierClient(ISharedTier tier, ILeaseStore? leases, Func<SharedTierOptions> options, TimeProvider time, CacheStatistics statistics, ResiliencePipeline? pipeline)
    {
        _tier = tier;
        _leases = leases;
        _options = options;
        _time = time;
        _statistics = statistics;
        _clock = new CoarseClock(time);
        _pipeline = pipeline;
        _breaker = new SharedBreaker(() => options().Breaker, _clock);
    }

    /// <summary>Called when the breaker opened (false) or closed (true), on the thread of the call that made it.</summary>
    public Action<bool>? StateChanged { get; set; }

    /// <summary>Called with each failure, for the log.</summary>
    public Action<Exception>? Failed { get; set; }

    public SharedTierState State => _options().Enabled ? _breaker.State : SharedTierState.None;

    /// <summary>Whether it is switched on.</summary>
    public bool IsEnabled => _options().Enabled;

    /// <summary>Whether it is worth asking: switched on, and not known to be broken.</summary>
    public bool IsOpenForCalls => _options().Enabled && _breaker.IsClosed;

    /// <summary>Whether it is known to be broken.</summary>
    public bool IsBroken => !_breaker.IsClosed;

    public bool IsAtomic => _tier.IsAtomic;

    public bool HasLeases => _leases is not null && _options().Leases;

    /// <summary>The time that one call of a user may spend here.</summary>
    /// <param name="hasStale">Whether there is a stale copy to fall back on, so that the soft timeout holds.</param>
    public SharedBudget Budget(bool hasStale) => new(_clock, hasStale ? _options().SoftTimeout : _options().HardTimeout);

    public ValueTask<(SharedOutcome Outcome, byte[]? Value)> ReadAsync(string key, SharedBudget budget) =>
        CallAsync(static (self, key, token) => self._tier.ReadAsync(key, token), key, budget.Left);

    public ValueTask<(SharedOutcome Outcome, byte[]?[]? Values)> ReadManyAsync(IReadOnlyList<string> keys, SharedBudget budget) =>
        CallAsync(static (self, keys, token) => self._tier.ReadManyAsync(keys, token), keys, budget.Left);

    public ValueTask<SharedOutcome> WriteAsync(SharedWrite write) => WriteAsync(write, Budget(hasStale: false));

    public async ValueTask<SharedOutcome> WriteAsync(SharedWrite write, SharedBudget budget)
    {
        (SharedOutcome outcome, bool written) = await CallAsync(static (self, write, token) => self._tier.WriteAsync(write, token), write, budget.Left).ConfigureAwait(false);
        if (outcome == SharedOutcome.Done && !written)
        {
            _statistics.Add(CacheCount.SharedRejected);
            return SharedOutcome.Refused;
        }

        return outcome;
    }

    public ValueTask<SharedOutcome> ExpireAsync(string key, long version) => ExpireAsync(key, version, Budget(hasStale: false));

    public async ValueTask<SharedOutcome> ExpireAsync(string key, long version, SharedBudget budget)
    {
        (SharedOutcome outcome, _) = await CallAsync(
            static async (self, change, token) =>
            {
                await self._tier.ExpireAsync(change.key, change.version, self._options().TombstoneLifetime, token).ConfigureAwait(false);
                return true;
            },
            (key, version),
            budget.Left).ConfigureAwait(false);
        return outcome;
    }

    public ValueTask<(SharedOutcome Outcome, TagVersion[]? Versions)> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, SharedBudget budget) =>
        CallAsync(static (self, ask, token) => self._tier.ReadVersionsAsync(ask.names, ask.floors, token), (names, floors), budget.Left);

    public ValueTask<(SharedOutcome Outcome, TagVersion Version)> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor) =>
        CallAsync(static (self, raise, token) => self._tier.RaiseVersionAsync(raise.name, raise.isRemoval, raise.floor, token), (name, isRemoval, floor), _options().HardTimeout);

    public ValueTask<(SharedOutcome Outcome, long Fence)> TryLeaseAsync(string key, string token, SharedBudget budget) =>
        CallAsync(static (self, ask, cancel) => self._leases!.TryAcquireAsync(ask.key, ask.token, self._options().LeaseDuration, cancel), (key, token), budget.Left);

    public async ValueTask<bool> TryRenewAsync(string key, string token)
    {
        (SharedOutcome outcome, bool held) = await CallAsync(static (self, ask, cancel) => self._leases!.TryRenewAsync(ask.key, ask.token, self._options().LeaseDuration, cancel), (key, token), _options().HardTimeout).ConfigureAwait(false);
        return outcome == SharedOutcome.Done && held;
    }

    public async ValueTask ReleaseAsync(string key, string token) =>
        await CallAsync(
            static async (self, ask, cancel) =>
            {
                await self._leases!.ReleaseAsync(ask.key, ask.token, cancel).ConfigureAwait(false);
                return true;
            },
            (key, token),
            _options().HardTimeout).ConfigureAwait(false);

    /// <summary>Asks a broken tier for the version of a tag, unless somebody does already; its answer closes the breaker.</summary>
    public async ValueTask ProbeAsync(string name, TagVersion floor) =>
        await CallAsync(static (self, ask, token) => self._tier.ReadVersionsAsync([ask.name], [ask.floor], token), (name, floor), _options().HardTimeout, isProbe: true).ConfigureAwait(false);

    private async ValueTask<(SharedOutcome Outcome, TResult? Result)> CallAsync<TArgument, TResult>(Func<SharedTierClient, TArgument, CancellationToken, Task<TResult>> call, TArgument argument, TimeSpan timeout, bool isProbe = false)
    {
        if (timeout <= TimeSpan.Zero || !_options().Enabled || !(isProbe ? _breaker.TryProbe() : _breaker.IsClosed))
        {
            return (SharedOutcome.Unavailable, default);
        }

        Task<TResult>? pending = null;
        var cancellation = new CancellationTokenSource();
        try
        {
            pending = _pipeline is null
                ? call(this, argument, cancellation.Token)
                : _pipeline.ExecuteAsync(async (state, token) => await call(this, state, token).ConfigureAwait(false), argument, cancellation.Token).AsTask();
            TResult result = await (pending.IsCompleted ? pending : pending.WaitAsync(timeout, _time)).ConfigureAwait(false);
            Record(succeeded: true, isProbe);
            return (SharedOutcome.Done, result);
        }
        catch (Exception exception)
        {
            if (exception is TimeoutException && pending is { IsCompleted: false })
            {
                _statistics.Add(CacheCount.SharedTimeout);
                GiveUp(pending, cancellation);
            }

            _statistics.Add(CacheCount.SharedFailure);
            Failed?.Invoke(exception);
            Record(succeeded: false, isProbe);
            return (SharedOutcome.Unavailable, default);
        }
    }

    private void Record(bool succeeded, bool isProbe)
    {
        if (isProbe ? _breaker.RecordProbe(succeeded) : _breaker.Record(succeeded))
        {
            StateChanged?.Invoke(isProbe);
        }
    }

    /// <summary>
    /// Cancels a call that took too long, for tiers that listen, and looks at its failure, so that it does not surface as an unobserved one.
    /// </summary>
    private static void GiveUp(Task pending, CancellationTokenSource cancellation)
    {
        pending.Observe();
        cancellation.CancelAsync().Observe();
    }
}
