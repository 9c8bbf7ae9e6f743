using System.Runtime.InteropServices;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Context;
using Resilience.Redis.RateLimiting;
using Resilience.Settings;

namespace Resilience.Redis;

/// <summary>
/// One rate limit for the whole fleet. Permits are counted in Redis by the generic cell rate algorithm; a node takes those that it is about to spend
/// ahead of its callers, so that a permit costs no round trip, and remembers a refusal for as long as it holds. While Redis is away each node goes on
/// with its share of the limit.
/// </summary>
/// <remarks>
/// <para>What holds: in any span of time the fleet is given at most <c>PermitsPerSecond</c> times the span plus <c>Burst</c>, and half of
/// <c>Burst</c> more because of what is taken ahead; exactly without that half when <see cref="RedisRateLimiterOptions.MaxLease"/> is 0. (Calls for several permits
/// can leave what was too little for one of them, for as long as a lease lasts.) A Redis that lost its data gives one more burst; while it is away the nodes'
/// shares add up to the limit when as many nodes run as were known.</para>
/// <para><see cref="RateLimiter.AcquireAsync(int, CancellationToken)"/> waits for Redis' answer, never for permits to be earned.
/// <see cref="RateLimiter.AttemptAcquire(int)"/> waits for nothing: without a permit at hand it refuses, and asks for one in the background. A refused
/// lease says after what time to try again.</para>
/// <para>Thread-safe. A permit that is at hand costs one short lock and allocates nothing.</para>
/// </remarks>
public sealed class RedisRateLimiter : RateLimiter
{
    /// <summary>The span whose spending a node takes ahead, and the longest it waits before it asks an exhausted limit again, in milliseconds.</summary>
    private const int DemandSpan = 100;
    private const double LongestPause = 10;

    internal const string SettingsPath = "Resilience:Limits";

    private readonly IPermitLedger? _ledger;
    private readonly LiveSettings<RedisRateLimiterOptions> _settings;
    private readonly TimeProvider _time;
    private readonly CoarseClock _clock;
    private readonly ILogger _logger;
    private readonly Func<double> _random;
    private readonly RedisMetrics? _metrics;

    private readonly Lock _lock = new(); // guards all fields below it
    private readonly List<PermitWaiter> _waiters = [];
    private readonly LocalShare _share;
    private int _pocket;
    private long _pocketLapses;
    private long _exhaustedUntil;
    private long _retryAt;
    private bool _isAway;
    private bool _isAsking;
    private bool _isDisposed;
    private int _wanted;
    private int _nodes = 1;
    private long _slotBegan;
    private int _slotSpent;
    private int _lastSpent;
    private long _usedAt;
    private Counts _counts;

    /// <summary>Makes a limiter. Nothing is asked before the first permit.</summary>
    /// <param name="connection">The connection; without a configured Redis the node has its share alone.</param>
    /// <param name="name">The limit's name: nodes that use the same share it.</param>
    /// <param name="options">The settings, which must not be changed afterwards.</param>
    /// <param name="timeProvider">The clock; the system's by default.</param>
    /// <param name="logger">Where it is told that Redis went and came; nowhere by default.</param>
    /// <exception cref="SettingsException">The settings are not valid.</exception>
    public RedisRateLimiter(RedisConnection connection, string name, RedisRateLimiterOptions options, TimeProvider? timeProvider = null, ILogger<RedisRateLimiter>? logger = null)
        : this(Ledger(connection, name), LiveSettings<RedisRateLimiterOptions>.Of(name, $"{SettingsPath}:{name}", options), timeProvider ?? TimeProvider.System, logger ?? NullLogger<RedisRateLimiter>.Instance, null, Random.Shared.NextDouble)
    {
    }

    internal RedisRateLimiter(IPermitLedger? ledger, LiveSettings<RedisRateLimiterOptions> settings, TimeProvider time, ILogger logger, RedisMetrics? metrics, Func<double> random)
    {
        _ledger = ledger;
        _settings = settings;
        _time = time;
        _clock = new CoarseClock(time);
        _logger = logger;
        _random = random;
        _metrics = metrics;
        _isAway = ledger is null;
        _retryAt = ledger is null ? long.MaxValue : 0;
        _share = new LocalShare(settings.Current, _clock.Milliseconds);
        _usedAt = _clock.Milliseconds;
        metrics?.Observe(this);
    }

    /// <summary>The limit's name.</summary>
    public string Name => _settings.Name;

    /// <summary>Whether the node goes on with its share because Redis does not answer, or there is none.</summary>
    public bool IsAway
    {
        get
        {
            lock (_lock)
            {
                return _isAway;
            }
        }
    }

    /// <inheritdoc/>
    public override TimeSpan? IdleDuration
    {
        get
        {
            lock (_lock)
            {
                long now = _clock.Milliseconds;
                return _waiters.Count == 0 && !_isAsking && (_pocket == 0 || now >= _pocketLapses) ? TimeSpan.FromMilliseconds(now - _usedAt) : null;
            }
        }
    }

    /// <inheritdoc/>
    /// <remarks>Available are the permits at hand: those that the node has taken ahead, or its share while Redis is away.</remarks>
    public override RateLimiterStatistics GetStatistics()
    {
        lock (_lock)
        {
            return new RateLimiterStatistics
            {
                CurrentAvailablePermits = PocketUnderLock(_clock.Milliseconds) + (_isAway ? Math.Max(0, (long)_share.Tokens) : 0),
                CurrentQueuedCount = _waiters.Count,
                TotalSuccessfulLeases = _counts.Leases,
                TotalFailedLeases = _counts.Refusals,
            };
        }
    }

    /// <summary>Whether a question to Redis is under way.</summary>
    internal bool IsAsking
    {
        get
        {
            lock (_lock)
            {
                return _isAsking;
            }
        }
    }

    internal Counts Count()
    {
        lock (_lock)
        {
            return _counts with { IsAway = _isAway, Nodes = NodesUnderLock(_settings.Current) };
        }
    }

    internal static IPermitLedger? Ledger(RedisConnection connection, string name)
    {
        ArgumentNullException.ThrowIfNull(connection);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        return connection.IsConfigured ? new RedisPermitLedger(connection, name) : null;
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">More permits than <see cref="RedisRateLimiterOptions.Burst"/> are asked for.</exception>
    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        lock (_lock)
        {
            if (DecideUnderLock(permitCount) is { } lease)
            {
                return lease;
            }

            _wanted = Math.Max(_wanted, permitCount);
            AskUnderLock();
            return CountUnderLock(PermitLease.NotNow, permitCount, byShare: false);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">More permits than <see cref="RedisRateLimiterOptions.Burst"/> are asked for.</exception>
    protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken)
    {
        PermitWaiter waiter;
        lock (_lock)
        {
            if (cancellationToken.IsCancellationRequested)
            {
                return ValueTask.FromCanceled<RateLimitLease>(cancellationToken);
            }

            if (DecideUnderLock(permitCount) is { } lease)
            {
                return new(lease);
            }

            waiter = new PermitWaiter(permitCount);
            _waiters.Add(waiter);
            AskUnderLock();
        }

        waiter.CancelWith(cancellationToken);
        return new(waiter.Answer);
    }

    /// <summary>Refuses whoever waits, and everybody from now on. Permits that were taken ahead lapse.</summary>
    protected override void Dispose(bool disposing)
    {
        lock (_lock)
        {
            _isDisposed = true;
            foreach (PermitWaiter waiter in _waiters)
            {
                waiter.TryAnswer(PermitLease.NotNow);
            }

            _waiters.Clear();
        }

        _metrics?.Forget(this);
        base.Dispose(disposing);
    }

    /// <inheritdoc/>
    protected override ValueTask DisposeAsyncCore()
    {
        Dispose(true);
        return base.DisposeAsyncCore();
    }

    /// <summary>What can be said without asking Redis; nothing, where it has to be asked.</summary>
    private PermitLease? DecideUnderLock(int permits)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        RedisRateLimiterOptions settings = _settings.Current;
        if (permits > settings.Burst)
        {
            throw new ArgumentOutOfRangeException(nameof(permits), permits, $"Limit '{Name}' never gives more than Burst = {settings.Burst} permits at once.");
        }

        long now = _clock.Milliseconds;
        _usedAt = now;
        if (permits == 0)
        {
            return now < _exhaustedUntil && PocketUnderLock(now) == 0 ? PermitLease.NotNow : PermitLease.Granted;
        }

        SpendUnderLock(permits, now);
        if (PocketUnderLock(now) >= permits)
        {
            _pocket -= permits;
            _share.Charge(settings, NodesUnderLock(settings), permits, now);
            int ahead = LeaseUnderLock(settings);
            if (ahead > 0 && _pocket <= ahead / 2 && now >= _exhaustedUntil && !_isAway)
            {
                AskUnderLock();
            }

            return CountUnderLock(PermitLease.Granted, permits, byShare: false);
        }

        if (_isAway)
        {
            if (now >= _retryAt)
            {
                AskUnderLock();
            }

            return ShareUnderLock(settings, permits, now);
        }

        return now < _exhaustedUntil ? RefuseUnderLock(settings, permits, now) : null;
    }

    private PermitLease ShareUnderLock(RedisRateLimiterOptions settings, int permits, long now)
    {
        TimeSpan wait = _share.TryTake(settings, NodesUnderLock(settings), permits, now);
        return CountUnderLock(wait == TimeSpan.Zero ? PermitLease.Granted : new PermitLease(false, wait), permits, byShare: true);
    }

    private PermitLease RefuseUnderLock(RedisRateLimiterOptions settings, int permits, long now)
    {
        double milliseconds = Math.Max(1, _exhaustedUntil - now) + ((permits - 1) * 1000 / settings.PermitsPerSecond);
        return CountUnderLock(new PermitLease(false, TimeSpan.FromMilliseconds(milliseconds)), permits, byShare: false);
    }

    private PermitLease CountUnderLock(PermitLease lease, int permits, bool byShare)
    {
        _counts = (lease.IsAcquired, byShare) switch
        {
            (true, false) => _counts with { Leases = _counts.Leases + 1, Granted = _counts.Granted + permits },
            (true, true) => _counts with { Leases = _counts.Leases + 1, GrantedByShare = _counts.GrantedByShare + permits },
            (false, false) => _counts with { Refusals = _counts.Refusals + 1, Refused = _counts.Refused + permits },
            (false, true) => _counts with { Refusals = _counts.Refusals + 1, RefusedByShare = _counts.RefusedByShare + permits },
        };
        return lease;
    }

    private int PocketUnderLock(long now)
    {
        if (_pocket > 0 && now >= _pocketLapses)
        {
            _pocket = 0;
        }

        return _pocket;
    }

    private int NodesUnderLock(RedisRateLimiterOptions settings) => Math.Max(_nodes, settings.ExpectedNodes);

    /// <summary>How much to take ahead: what was asked for in the last whole span, and nothing where that was so little that it might lapse.</summary>
    private int LeaseUnderLock(RedisRateLimiterOptions settings)
    {
        int most = Math.Min(settings.MaxLease, settings.Burst / (2 * NodesUnderLock(settings)));
        return _lastSpent < 2 ? 0 : Math.Min(_lastSpent, most);
    }

    private void SpendUnderLock(int permits, long now)
    {
        long passed = now - _slotBegan;
        if (passed >= DemandSpan)
        {
            _lastSpent = passed < 2 * DemandSpan ? (int)(_slotSpent * DemandSpan / passed) : 0;
            _slotSpent = 0;
            _slotBegan = now;
        }

        _slotSpent += permits;
    }

    private void AskUnderLock()
    {
        if (!_isAsking && _ledger is not null)
        {
            _isAsking = true;
            using (ExecutionContext.SuppressFlow())
            {
                _ = Task.Run(AskAsync);
            }
        }
    }

    /// <summary>Asks Redis, one question at a time, for as long as somebody waits. Throws nothing.</summary>
    private async Task AskAsync()
    {
        bool isFirst = true;
        while (true)
        {
            RedisRateLimiterOptions settings = _settings.Current;
            int asked, least, most;
            lock (_lock)
            {
                _waiters.RemoveAll(static waiter => waiter.IsGone);
                asked = _waiters.Count;
                if (_isDisposed || (asked == 0 && !isFirst))
                {
                    _isAsking = false;
                    return;
                }

                long needed = 0;
                least = asked == 0 ? 1 : int.MaxValue;
                foreach (PermitWaiter waiter in _waiters)
                {
                    needed += waiter.Permits;
                    least = Math.Min(least, waiter.Permits);
                }

                long ahead = Math.Max(0, LeaseUnderLock(settings) - PocketUnderLock(_clock.Milliseconds));
                most = (int)Math.Clamp(Math.Max(needed + ahead, _wanted), least, Math.Max(least, settings.Burst));
                _wanted = 0;
                _counts = _counts with { RoundTrips = _counts.RoundTrips + 1 };
            }

            isFirst = false;
            try
            {
                Task<PermitGrant> taking = _ledger!.TakeAsync(settings.PermitsPerSecond, settings.Burst, least, most);
                taking.Observe();
                PermitGrant grant = await taking.WaitAsync(settings.Timeout, _time).ConfigureAwait(false);
                Settle(settings, grant, most, asked);
            }
            catch (Exception exception)
            {
                GoOnAlone(settings, exception);
            }
        }
    }

    private void Settle(RedisRateLimiterOptions settings, PermitGrant grant, int most, int asked)
    {
        long failures = 0;
        lock (_lock)
        {
            long now = _clock.Milliseconds;
            if (_isAway)
            {
                _isAway = false;
                failures = _counts.FailuresInARow;
                _counts = _counts with { FailuresInARow = 0 };
            }

            _nodes = Math.Max(1, grant.Nodes);
            _pocket = PocketUnderLock(now) + grant.Permits;
            _pocketLapses = now + (long)settings.LeaseDuration.TotalMilliseconds;
            if (grant.Permits < most)
            {
                // Asking again for each permit as it is earned would be a round trip each: a little is let gather, but never so much that the bucket overflows.
                double pause = Math.Min(LongestPause, settings.Burst * 500 / settings.PermitsPerSecond);
                _exhaustedUntil = now + (long)Math.Ceiling(Math.Max(grant.Wait.TotalMilliseconds, pause));
            }

            AnswerUnderLock(settings, asked, now);
        }

        if (failures > 0)
        {
            RedisLog.LimiterBack(_logger, Name, failures);
        }
    }

    /// <summary>Answers in the order of arrival. Who came after the question was put waits for the next one, unless the answer is already known.</summary>
    private void AnswerUnderLock(RedisRateLimiterOptions settings, int asked, long now)
    {
        int index = 0;
        _waiters.RemoveAll(waiter =>
        {
            bool wasAsked = index++ < asked;
            if (_pocket >= waiter.Permits)
            {
                if (waiter.TryAnswer(PermitLease.Granted))
                {
                    _pocket -= waiter.Permits;
                    _share.Charge(settings, NodesUnderLock(settings), waiter.Permits, now);
                    CountUnderLock(PermitLease.Granted, waiter.Permits, byShare: false);
                }

                return true;
            }

            if (!wasAsked && now >= _exhaustedUntil)
            {
                return false;
            }

            if (!waiter.IsGone)
            {
                waiter.TryAnswer(RefuseUnderLock(settings, waiter.Permits, now));
            }

            return true;
        });
    }

    private void GoOnAlone(RedisRateLimiterOptions settings, Exception exception)
    {
        bool isNews;
        int nodes;
        lock (_lock)
        {
            long now = _clock.Milliseconds;
            isNews = !_isAway;
            _isAway = true;
            _retryAt = now + (long)(settings.RetryInterval.TotalMilliseconds * (0.8 + (0.4 * _random())));
            _counts = _counts with { Failures = _counts.Failures + 1, FailuresInARow = _counts.FailuresInARow + 1 };
            nodes = NodesUnderLock(settings);
            foreach (PermitWaiter waiter in _waiters)
            {
                if (!waiter.IsGone)
                {
                    waiter.TryAnswer(ShareUnderLock(settings, waiter.Permits, now));
                }
            }

            _waiters.Clear();
        }

        if (isNews)
        {
            RedisLog.LimiterAway(_logger, Name, nodes, exception);
        }
    }

    /// <summary>What has happened so far.</summary>
    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Counts(long Leases, long Refusals, long Granted, long Refused, long GrantedByShare, long RefusedByShare, long RoundTrips, long Failures, long FailuresInARow, bool IsAway, int Nodes);
}
