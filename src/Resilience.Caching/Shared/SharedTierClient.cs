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
/// goes on alone; its outcome is looked at by nobody.
/// </summary>
internal sealed class SharedTierClient
{
    private readonly ISharedTier _tier;
    private readonly ILeaseStore? _leases;
    private readonly Func<SharedTierOptions> _options;
    private readonly TimeProvider _time;
    private readonly CacheStatistics _statistics;
    private readonly SharedBreaker _breaker;

    public SharedTierClient(ISharedTier tier, ILeaseStore? leases, Func<SharedTierOptions> options, TimeProvider time, CacheStatistics statistics, Func<double> random)
    {
        _tier = tier;
        _leases = leases;
        _options = options;
        _time = time;
        _statistics = statistics;
        _breaker = new SharedBreaker(() => options().Breaker, new CoarseClock(time), random);
    }

    /// <summary>The pipeline that calls run in, if there is one.</summary>
    public ResiliencePipeline? Pipeline { get; init; }

    /// <summary>Called when the breaker opened (false) or closed (true), on the thread of the call that made it.</summary>
    public Action<bool>? StateChanged { get; set; }

    /// <summary>Called with each failure, for the log.</summary>
    public Action<Exception>? Failed { get; set; }

    public SharedTierState State => _options().Enabled ? _breaker.State : SharedTierState.None;

    /// <summary>Whether it is worth asking: switched on, and not known to be broken.</summary>
    public bool IsOpenForCalls => _options().Enabled && _breaker.IsClosed;

    public bool IsAtomic => _tier.IsAtomic;

    public bool HasLeases => _leases is not null && _options().Leases;

    public async ValueTask<(SharedOutcome Outcome, byte[]? Value)> ReadAsync(string key, bool hasStale)
    {
        TimeSpan timeout = hasStale ? _options().SoftTimeout : _options().HardTimeout;
        return await CallAsync(static (self, key, token) => self._tier.ReadAsync(key, token), key, timeout).ConfigureAwait(false);
    }

    public async ValueTask<(SharedOutcome Outcome, byte[]?[]? Values)> ReadManyAsync(IReadOnlyList<string> keys) =>
        await CallAsync(static (self, keys, token) => self._tier.ReadManyAsync(keys, token), keys, _options().HardTimeout).ConfigureAwait(false);

    public async ValueTask<SharedOutcome> WriteAsync(SharedWrite write)
    {
        (SharedOutcome outcome, bool written) = await CallAsync(static (self, write, token) => self._tier.WriteAsync(write, token), write, _options().HardTimeout).ConfigureAwait(false);
        if (outcome == SharedOutcome.Done && !written)
        {
            _statistics.Add(CacheCount.SharedRejected);
            return SharedOutcome.Refused;
        }

        return outcome;
    }

    public async ValueTask<SharedOutcome> ExpireAsync(string key, long version)
    {
        (SharedOutcome outcome, _) = await CallAsync(
            static async (self, change, token) =>
            {
                await self._tier.ExpireAsync(change.key, change.version, self._options().TombstoneLifetime, token).ConfigureAwait(false);
                return true;
            },
            (key, version),
            _options().HardTimeout).ConfigureAwait(false);
        return outcome;
    }

    public async ValueTask<(SharedOutcome Outcome, TagVersion[]? Versions)> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors) =>
        await CallAsync(static (self, ask, token) => self._tier.ReadVersionsAsync(ask.names, ask.floors, token), (names, floors), _options().HardTimeout).ConfigureAwait(false);

    public async ValueTask<(SharedOutcome Outcome, TagVersion Version)> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor) =>
        await CallAsync(static (self, raise, token) => self._tier.RaiseVersionAsync(raise.name, raise.isRemoval, raise.floor, token), (name, isRemoval, floor), _options().HardTimeout).ConfigureAwait(false);

    public async ValueTask<(SharedOutcome Outcome, long Fence)> TryLeaseAsync(string key, string token) =>
        await CallAsync(static (self, ask, cancel) => self._leases!.TryAcquireAsync(ask.key, ask.token, self._options().LeaseDuration, cancel), (key, token), _options().HardTimeout).ConfigureAwait(false);

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

    private async ValueTask<(SharedOutcome Outcome, TResult? Result)> CallAsync<TArgument, TResult>(Func<SharedTierClient, TArgument, CancellationToken, Task<TResult>> call, TArgument argument, TimeSpan timeout)
    {
        if (!_options().Enabled || !_breaker.TryEnter())
        {
            return (SharedOutcome.Unavailable, default);
        }

        Task<TResult>? pending = null;
        try
        {
            pending = Pipeline is null
                ? call(this, argument, CancellationToken.None)
                : Pipeline.ExecuteAsync(static (work, token) => new ValueTask<TResult>(work.call(work.self, work.argument, token)), (self: this, call, argument), CancellationToken.None).AsTask();
            TResult result = await (pending.IsCompleted ? pending : pending.WaitAsync(timeout, _time)).ConfigureAwait(false);
            Record(succeeded: true);
            return (SharedOutcome.Done, result);
        }
        catch (Exception exception)
        {
            if (exception is TimeoutException && pending is { IsCompleted: false })
            {
                _statistics.Add(CacheCount.SharedTimeout);
                Observe(pending);
            }

            _statistics.Add(CacheCount.SharedFailure);
            Record(succeeded: false);
            Failed?.Invoke(exception);
            return (SharedOutcome.Unavailable, default);
        }
    }

    private void Record(bool succeeded)
    {
        if (_breaker.Record(succeeded) is { } closed)
        {
            StateChanged?.Invoke(closed);
        }
    }

    /// <summary>Looks at the failure of a call that nobody waits for any more, so that it does not surface as an unobserved one.</summary>
    private static void Observe(Task abandoned) =>
        _ = abandoned.ContinueWith(static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
}
