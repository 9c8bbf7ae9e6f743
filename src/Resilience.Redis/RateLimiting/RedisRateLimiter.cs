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
    private readonly NodeAccount _account;
    private bool _isAsking;
    private bool _isDisposed;
    private int _wanted;

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
        _account = new NodeAccount(settings.Current, _clock.Milliseconds);
        if (ledger is null)
        {
            _account.GoAway(retryAt: long.MaxValue);
        }

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
                return _account.IsAway;
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
                return _waiters.Count == 0 && !_isAsking && _account.Pocket(now) == 0 ? TimeSpan.FromMilliseconds(now - _account.UsedAt) : null;
            }
        }
    }

    /// <inheritdoc/>
    /// <remarks>Available are the permits at hand: those that the node has taken ahead, or its share while Redis is away.</remarks>
    public override RateLimiterStatistics GetStatistics()
    {
        lock (_lock)
        {
            LimiterCounts counts = _account.Counts(_settings.Current);
            return new RateLimiterStatistics
            {
                CurrentAvailablePermits = _account.Available(_clock.Milliseconds),
                CurrentQueuedCount = _waiters.Count,
                TotalSuccessfulLeases = counts.Leases,
                TotalFailedLeases = counts.Refusals,
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

    internal LimiterCounts Count()
    {
        lock (_lock)
        {
            return _account.Counts(_settings.Current);
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
            return _account.NotNow(permitCount);
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

        PermitLease? lease = _account.Decide(settings, permits, _clock.Milliseconds, out bool asks);
        if (asks)
        {
            AskUnderLock();
        }

        return lease;
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

                most = (int)Math.Clamp(Math.Max(needed + _account.Missing(settings, _clock.Milliseconds), _wanted), least, Math.Max(least, settings.Burst));
                _wanted = 0;
                _account.NoteAsked();
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

    /// <summary>Takes in what Redis gave, and answers in the order of arrival. Who came after the question was put waits for the next one, unless the answer is already known.</summary>
    private void Settle(RedisRateLimiterOptions settings, PermitGrant grant, int most, int asked)
    {
        long failures;
        lock (_lock)
        {
            long now = _clock.Milliseconds;
            failures = _account.Settle(settings, grant, most, now);
            int index = 0;
            _waiters.RemoveAll(waiter => _account.TryAnswer(settings, waiter, wasAsked: index++ < asked, now));
        }

        if (failures > 0)
        {
            RedisLog.LimiterBack(_logger, Name, failures);
        }
    }

    private void GoOnAlone(RedisRateLimiterOptions settings, Exception exception)
    {
        bool isNews;
        int nodes;
        lock (_lock)
        {
            long now = _clock.Milliseconds;
            _account.NoteFailure();
            isNews = _account.GoAway(now + (long)(settings.RetryInterval.TotalMilliseconds * (0.8 + (0.4 * _random()))));
            nodes = _account.Nodes(settings);
            foreach (PermitWaiter waiter in _waiters)
            {
                if (!waiter.IsGone)
                {
                    waiter.TryAnswer(_account.FromShare(settings, waiter.Permits, now));
                }
            }

            _waiters.Clear();
        }

        if (isNews)
        {
            RedisLog.LimiterAway(_logger, Name, nodes, exception);
        }
    }
}
