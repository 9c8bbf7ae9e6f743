using System.Diagnostics.CodeAnalysis;
using System.Threading.RateLimiting;

namespace Resilience.Degrade;

/// <summary>How a call under an <see cref="AdaptiveLease"/> has ended.</summary>
public enum LimitOutcome
{
    /// <summary>It was answered: its time counts.</summary>
    Success,

    /// <summary>It was refused or timed out for load: the limit falls.</summary>
    Drop,

    /// <summary>It says nothing about load: a bad request, a cancellation by the caller.</summary>
    Ignore,
}

/// <summary>
/// Bounds how many calls are under way at once, and learns the bound from how they go. A real <see cref="RateLimiter"/>, for clients, Polly pipelines and
/// ASP.NET Core's own rate limiting middleware. It does not queue: with a bound that is right, waiting only adds to what waits already.
/// </summary>
/// <remarks>Thread-safe. A lease that is disposed without a report counts as a success; disposing twice is harmless.</remarks>
public sealed class AdaptiveConcurrencyLimiter : RateLimiter
{
    /// <summary>A window needs this many calls, or it says too little.</summary>
    private const int MinSamples = 10;

    private static readonly RefusedLease Refused = new(null);

    private readonly Lock _lock = new(); // guards _strategy and the window
    private readonly IConcurrencyLimit _strategy;
    private readonly TimeProvider _time;
    private readonly long _windowTicks;
    private long _windowEnd;
    private double _rttSum;
    private double _rttMin = double.MaxValue;
    private int _count;
    private int _mostInflight;
    private bool _dropped;
    private int _inflight;
    private volatile int _limit;
    private long _idleSince;
    private long _succeeded;
    private long _failed;

    /// <summary>Makes a limiter.</summary>
    /// <param name="strategy">The maths; it belongs to this limiter from now on.</param>
    /// <param name="window">How long calls are gathered before the limit is set anew; 1 s when <see langword="null"/>.</param>
    /// <param name="timeProvider">The clock.</param>
    public AdaptiveConcurrencyLimiter(IConcurrencyLimit strategy, TimeSpan? window = null, TimeProvider? timeProvider = null)
    {
        ArgumentNullException.ThrowIfNull(strategy);
        TimeSpan span = window ?? TimeSpan.FromSeconds(1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(span, TimeSpan.Zero, nameof(window));
        _strategy = strategy;
        _time = timeProvider ?? TimeProvider.System;
        _windowTicks = (long)(span.TotalSeconds * _time.TimestampFrequency);
        _limit = strategy.Limit;
        _idleSince = _time.GetTimestamp();
        _windowEnd = _idleSince + _windowTicks;
    }

    /// <summary>The limit at the moment.</summary>
    public int Limit => _limit;

    /// <summary>How many calls are under way.</summary>
    public int Inflight => Volatile.Read(ref _inflight);

    /// <inheritdoc/>
    public override TimeSpan? IdleDuration => Inflight > 0 ? null : _time.GetElapsedTime(Volatile.Read(ref _idleSince));

    /// <inheritdoc/>
    public override RateLimiterStatistics GetStatistics() => new()
    {
        CurrentAvailablePermits = Math.Max(0, _limit - Inflight),
        CurrentQueuedCount = 0,
        TotalSuccessfulLeases = Interlocked.Read(ref _succeeded),
        TotalFailedLeases = Interlocked.Read(ref _failed),
    };

    /// <summary>The same as <see cref="RateLimiter.AttemptAcquire"/> for one permit, with a lease that takes a report.</summary>
    /// <param name="lease">The lease.</param>
    /// <returns>Whether the call may go.</returns>
    public bool TryAcquire([NotNullWhen(true)] out AdaptiveLease? lease)
    {
        int inflight = Interlocked.Increment(ref _inflight);
        if (inflight > _limit)
        {
            Interlocked.Decrement(ref _inflight);
            Interlocked.Increment(ref _failed);
            lease = null;
            return false;
        }

        Interlocked.Increment(ref _succeeded);
        lease = new AdaptiveLease(this, _time.GetTimestamp(), inflight);
        return true;
    }

    internal void Release(long started, int inflight, LimitOutcome outcome)
    {
        long now = _time.GetTimestamp();
        if (Interlocked.Decrement(ref _inflight) == 0)
        {
            Volatile.Write(ref _idleSince, now);
        }

        if (outcome == LimitOutcome.Ignore)
        {
            return;
        }

        lock (_lock)
        {
            double rtt = Math.Max(0.001, _time.GetElapsedTime(started, now).TotalMilliseconds);
            _count++;
            _rttSum += rtt;
            _rttMin = Math.Min(_rttMin, rtt);
            _mostInflight = Math.Max(_mostInflight, inflight);
            _dropped |= outcome == LimitOutcome.Drop;
            if (now >= _windowEnd && (_count >= MinSamples || _dropped))
            {
                _limit = Math.Max(1, _strategy.Update(new LimitSample(_rttSum / _count, _rttMin, _mostInflight, _dropped)));
                (_windowEnd, _count, _rttSum, _rttMin, _mostInflight, _dropped) = (now + _windowTicks, 0, 0, double.MaxValue, 0, false);
            }
        }
    }

    /// <inheritdoc/>
    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        if (permitCount == 0)
        {
            return Inflight < _limit ? RefusedLease.Free : Refused;
        }

        ArgumentOutOfRangeException.ThrowIfNotEqual(permitCount, 1);
        return TryAcquire(out AdaptiveLease? lease) ? lease : Refused;
    }

    /// <inheritdoc/>
    protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested ? ValueTask.FromCanceled<RateLimitLease>(cancellationToken) : new(AttemptAcquireCore(permitCount));
}

/// <summary>One call under an <see cref="AdaptiveConcurrencyLimiter"/>. Report how it ended, then dispose it.</summary>
/// <remarks>Thread-safe; only the first end counts.</remarks>
public sealed class AdaptiveLease : RateLimitLease
{
    private readonly AdaptiveConcurrencyLimiter _owner;
    private readonly long _started;
    private readonly int _inflight;
    private int _ended;

    internal AdaptiveLease(AdaptiveConcurrencyLimiter owner, long started, int inflight)
    {
        _owner = owner;
        _started = started;
        _inflight = inflight;
    }

    /// <inheritdoc/>
    public override bool IsAcquired => true;

    /// <inheritdoc/>
    public override IEnumerable<string> MetadataNames => [];

    /// <summary>Ends the call with what came of it.</summary>
    /// <param name="outcome">What came of it.</param>
    public void Report(LimitOutcome outcome)
    {
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            _owner.Release(_started, _inflight, outcome);
        }
    }

    /// <inheritdoc/>
    public override bool TryGetMetadata(string metadataName, out object? metadata)
    {
        metadata = null;
        return false;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        Report(LimitOutcome.Success);
        base.Dispose(disposing);
    }
}

/// <summary>A refusal, with the time after which to come back where it is known.</summary>
internal sealed class RefusedLease(TimeSpan? retryAfter, bool isAcquired = false) : RateLimitLease
{
    public static readonly RefusedLease Free = new(null, isAcquired: true);

    public override bool IsAcquired => isAcquired;

    public override IEnumerable<string> MetadataNames => retryAfter is null ? [] : [MetadataName.RetryAfter.Name];

    public override bool TryGetMetadata(string metadataName, out object? metadata)
    {
        bool isKnown = retryAfter is not null && metadataName == MetadataName.RetryAfter.Name;
        metadata = isKnown ? retryAfter!.Value : null;
        return isKnown;
    }
}
