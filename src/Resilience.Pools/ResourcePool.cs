using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Polly;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.Pools;

/// <summary>
/// A bounded pool of resources that are dear to make. It never has more than it may, nobody waits in it longer than the caller's own
/// caller will, no place in it is lost, and who keeps a resource too long is named.
/// </summary>
/// <typeparam name="T">The resource.</typeparam>
/// <remarks>
/// <para>
/// The places are a fixed array; each has one word with its version and state, and whatever happens to it (lease, return, prune, check,
/// clear, reclaim) is one compare-and-swap of that word, so that of two who want it one wins and none can lose it. Idle places lie on a
/// lock-free stack, newest on top. While callers wait nothing goes past them: what comes back is handed to the first of them.
/// </para>
/// <para>
/// The pool owns what its factory makes. It makes resources for itself, not for the caller who happened to need one: a caller who stops
/// waiting does not end the attempt, and what comes of it serves the next. All members are thread-safe.
/// </para>
/// </remarks>
public sealed partial class ResourcePool<T> : IResourcePool, IAsyncDisposable, IDisposable
    where T : class
{
    // Reasons to leave the quick paths, in _attention.
    private const int Waiting = 1;
    private const int Closed = 2;
    private const int Surplus = 4;
    private const int SlowReturn = 8;
    private const int SlowAcquire = 16;
    private const int Telling = 32; // stacks or precise times are noted

    // A microsecond or two in all.
    private const int MostSpins = 20;
    private const int SpinsAtOnce = 2;

    /// <summary>With limits below this, in milliseconds, the quick paths read the clock themselves.</summary>
    private const long CoarseFrom = 8 * LongestSweepInterval;

    /// <summary>How long after an exhaustion nested acquires are looked for, in milliseconds.</summary>
    private const long NestingWatch = 60_000;

    private readonly IResourceFactory<T> _factory;
    private readonly TimeProvider _time;
    private readonly CoarseClock _clock;
    private readonly ILogger _logger;
    private readonly PoolMetrics _metrics;
    private readonly Histogram<double> _useTime;
    private readonly PoolAdmission? _admission;
    private readonly ISharedBound? _bound;
    private readonly bool _ownsAdmission;
    private readonly bool? _detectNested;
    private readonly CancellationTokenSource _lifetime = new();

    private readonly Lock _gate = new(); // guards the fields of this paragraph and writes of those marked so
    private readonly WaiterQueue<T> _waiters = new();
    private readonly CreateCircuit _circuit;
    private readonly Stack<PoolEntry<T>> _dead = new();
    private int _creating; // attempts that still may succeed in time
    private int _late; // attempts that did not heed their token: they hold a place and nothing else
    private int _closing;
    private ITimer? _timer;
    private long _armedFor = long.MaxValue;
    private long _nextSweep;
    private bool _isSweeping;
    private int _idleShort;
    private long _trackNestingUntil;
    private bool _hasStarted;
    private TaskCompletionSource? _emptied;
    private PoolSizer? _sizer;

    // Read everywhere, written under the gate.
    private volatile PoolOptions _options;
    private PoolEntry<T>[] _entries;
    private volatile int _attention;
    private volatile int _open;
    private volatile int _limit;
    private volatile int _generation;
    private volatile int _goneBefore; // generations before this one went at once; written before the generation that says to look
    private volatile bool _yields;
    private long _clearedAt;
    private long _clearPace;

    // Read on the quick paths: the options' own values as numbers.
    private long _validateAfter;
    private uint _sampleEvery;
    private bool _readsClock;
    private volatile bool _tracksNesting;

    // As it was last read: a sweep's interval ago at the most.
    private long _now;

    private int _checking; // Interlocked
    private uint _queuedLeases; // Interlocked; for sampling
    private long _suspectBefore = long.MinValue; // Interlocked
    private long _timeouts; // Interlocked, as all counts below
    private long _leaks;
    private long _lastLeakAt = long.MinValue;
    private long _waits; // of callers who had to queue; written under the gate
    private long _reclaims;
    private long _staleReturns;
    private long _created;
    private long _destroyed;
    private IdleStack _idle;

    /// <summary>Makes a pool outside of a container. Nothing is created before the first acquire or <see cref="StartAsync"/>.</summary>
    /// <param name="name">Its name in errors, logs and metrics.</param>
    /// <param name="factory">How resources are made and ended.</param>
    /// <param name="options">Its settings, copied; defaults when <see langword="null"/>.</param>
    /// <param name="timeProvider">The clock; the system's when <see langword="null"/>.</param>
    /// <param name="logger">Where leaks and outages are told; nowhere when <see langword="null"/>.</param>
    /// <param name="admission">A rate limit in front, which stays the caller's; the one of the options when <see langword="null"/>.</param>
    /// <exception cref="SettingsException">The options are not valid.</exception>
    public ResourcePool(string name, IResourceFactory<T> factory, PoolOptions? options = null, TimeProvider? timeProvider = null, ILogger? logger = null, PoolAdmission? admission = null)
        : this(name, factory, Checked(name, options), timeProvider, logger, PoolMetrics.Shared, admission, bound: null)
    {
    }

    internal ResourcePool(string name, IResourceFactory<T> factory, PoolOptions options, TimeProvider? timeProvider, ILogger? logger, PoolMetrics metrics, PoolAdmission? admission, ISharedBound? bound)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(factory);
        Name = name;
        _factory = factory;
        _time = timeProvider ?? TimeProvider.System;
        _clock = new CoarseClock(_time);
        _logger = logger is null ? NullLogger.Instance : new QuietLogger(logger);
        _metrics = metrics;
        _useTime = metrics.UseTime;
        _bound = bound;
        _options = options.Copy();
        _admission = admission ?? PoolAdmission.FromOptions(_options.RateLimit);
        _ownsAdmission = admission is null;
        _detectNested = _options.DetectNestedAcquire;
        _tracksNesting = _detectNested ?? false;
        _circuit = new CreateCircuit(Random.Shared.Next());
        _entries = [];
        _now = _clock.Milliseconds;
        lock (_gate)
        {
            ApplyUnderLock(_options);
        }

        if (bound is null)
        {
            // Members of a keyed pool are observed as one: their number is not bounded, and tags must be.
            _metrics.Add(this);
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public PoolOccupancy Occupancy
    {
        get
        {
            int leased = 0;
            foreach (PoolEntry<T> entry in Volatile.Read(ref _entries))
            {
                leased += EntryWord.State(entry.ReadWord()) == EntryState.Leased ? 1 : 0;
            }

            lock (_gate)
            {
                return new PoolOccupancy(leased, _waiters.Count, _limit, _circuit.State);
            }
        }
    }

    /// <inheritdoc/>
    public string? Feature => _options.Feature;

    /// <inheritdoc/>
    public bool YieldsToPriority
    {
        get => _yields;
        set => _yields = value;
    }

    /// <summary>The pipeline that creations run in, if there is one.</summary>
    internal ResiliencePipeline? Pipeline { get; init; }

    /// <summary>The settings in force; treat them as immutable.</summary>
    internal PoolOptions Options => _options;

    internal TimeProvider TimeProvider => _time;

    /// <summary>How many callers have had to queue so far.</summary>
    internal long Waits => Interlocked.Read(ref _waits);

    /// <summary>Leases a resource, waiting for one if need be.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="callerFile">Filled in by the compiler: who holds it, for reports.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    /// <returns>The lease; dispose it as soon as the resource is not needed any more. Await it once.</returns>
    /// <exception cref="PoolExhaustedException">
    /// None came free within the shortest of <see cref="PoolOptions.AcquireTimeout"/> and what is left of the request scope's deadline,
    /// or there was no room to wait.
    /// </exception>
    /// <exception cref="PoolUnavailableException">The backend is known to be down.</exception>
    /// <exception cref="PoolRejectedException">The rate limit in front refused.</exception>
    /// <exception cref="PoolClosedException">The pool drains or is closed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<PoolLease<T>> AcquireAsync(CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        if ((_attention & (Waiting | Closed | SlowAcquire)) == 0 && !cancellationToken.IsCancellationRequested && TryLeaseInPlace(callerFile, callerLine, null, out PoolLease<T> lease))
        {
            return new ValueTask<PoolLease<T>>(lease);
        }

        return AcquireSlowly(default, callerFile, callerLine, cancellationToken);
    }

    /// <summary>The same as the simpler overload, with a timeout, a priority or a tag of its own.</summary>
    /// <param name="request">What differs from the pool's settings.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="callerFile">Filled in by the compiler.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    /// <exception cref="ArgumentOutOfRangeException">The timeout is negative and not infinite.</exception>
    public ValueTask<PoolLease<T>> AcquireAsync(in PoolRequest request, CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        if (request.Timeout is { } timeout && timeout != Timeout.InfiniteTimeSpan)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero, nameof(request));
        }

        if ((_attention & (Waiting | Closed | SlowAcquire)) == 0 && !cancellationToken.IsCancellationRequested && TryLeaseInPlace(callerFile, callerLine, request.Tag, out PoolLease<T> lease))
        {
            return new ValueTask<PoolLease<T>>(lease);
        }

        return AcquireSlowly(request, callerFile, callerLine, cancellationToken);
    }

    /// <summary>Leases an idle resource that needs no check, if there is one and nobody waits before.</summary>
    /// <param name="lease">The lease.</param>
    /// <param name="callerFile">Filled in by the compiler.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    /// <returns>Whether there was one. Nothing is created, and a rate limit in front may refuse.</returns>
    public bool TryAcquire(out PoolLease<T> lease, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        IDisposable? permit = null;
        if ((_attention & (Waiting | Closed)) == 0 && (_admission is null || _admission.TryPass(out permit)))
        {
            if (TryLeaseInPlace(callerFile, callerLine, null, out lease) || TryLeasePopped(callerFile, callerLine, null, out lease))
            {
                (PoolEntry<T> entry, long version) = lease;
                NoteAdmission(entry, version, permit);
                if (_tracksNesting)
                {
                    NoteHeld(NestedAcquire.Enter(this, out _), entry, version);
                }

                return true;
            }
        }

        permit?.Dispose();
        lease = default;
        return false;
    }

    /// <summary>Changes <see cref="PoolOptions.MaxSize"/> until the settings change next. A smaller pool gives up what is idle now and the rest as it comes back.</summary>
    /// <param name="maxSize">The new size, from 1 to 65,536.</param>
    /// <exception cref="ArgumentOutOfRangeException">The size is out of its range.</exception>
    public void Resize(int maxSize) => Apply(_options.CopyWithMaxSize(maxSize));

    /// <summary>Puts other settings in force.</summary>
    internal void Apply(PoolOptions options)
    {
        lock (_gate)
        {
            ApplyUnderLock(options.Copy());
        }

        TrimSurplus();
        Pump();
    }

    private static PoolOptions Checked(string name, PoolOptions? options)
    {
        options ??= new PoolOptions();
        IReadOnlyList<SettingsError> errors = SettingsReader.Check($"Resilience:Pools:{name}", options);
        return errors.Count > 0 ? throw new SettingsException(errors) : options;
    }

    private void ApplyUnderLock(PoolOptions options)
    {
        _options = options;
        _validateAfter = Milliseconds(options.ValidateOnAcquireAfter);
        _sampleEvery = (uint)options.LeakStackSampling;
        _readsClock = Math.Min(_validateAfter, Math.Min(Milliseconds(options.LeakThreshold), Milliseconds(options.MaxLifetime))) < CoarseFrom || options.WaiterOrder == WaiterOrder.AdaptiveLifo;
        _sizer = options.AdaptiveSizing.Enabled ? new PoolSizer(options, _sizer is null ? options.MaxSize : _limit) : null;
        SetTellingUnderLock();
        SetLimitUnderLock(_sizer?.Size ?? options.MaxSize);
        SetAttentionUnderLock(SlowReturn, _factory.Resets || options.ValidateOnReturn || _sizer is not null || _admission is not null || _bound is not null);
        SetAttentionUnderLock(SlowAcquire, _tracksNesting || _admission is not null);
        if (_hasStarted && options.MinIdle > 0)
        {
            _idleShort = IdleShortUnderLock();
            StartUpkeepUnderLock(_clock.Milliseconds);
        }
    }

    private void SetLimitUnderLock(int limit)
    {
        if (limit > _entries.Length)
        {
            var entries = new PoolEntry<T>[limit];
            Array.Copy(_entries, entries, _entries.Length);
            for (int i = entries.Length - 1; i >= _entries.Length; i--)
            {
                entries[i] = new PoolEntry<T>(this, i);
                _dead.Push(entries[i]);
            }

            Volatile.Write(ref _entries, entries);
        }

        _limit = limit;
        SetAttentionUnderLock(Surplus, _open > limit);
    }

    private void SetTellingUnderLock() => SetAttentionUnderLock(Telling, _sizer is not null || _sampleEvery != 0 || _leakySites is not null);

    private void SetAttentionUnderLock(int reason, bool applies)
    {
        int attention = applies ? _attention | reason : _attention & ~reason;
        if (attention != _attention)
        {
            _attention = attention;

            // Who sets a reason looks at the idle stack next; who pushes there looks at the reasons next. With a full fence on both
            // sides at least one of them sees the other.
            Interlocked.MemoryBarrier();
        }
    }

    /// <summary>Reads the clock, for the quick paths too.</summary>
    private long ReadClock()
    {
        long now = _clock.Milliseconds;
        if (now > _now)
        {
            _now = now;
        }

        return now;
    }

    /// <summary>
    /// The time for what needs it roughly: when a lease began, and whether a resource is too old or lay idle for too long. To read the clock
    /// costs as much as both swaps of an acquire and its return, so it is not read unless a limit is so short that it has to be.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private long RoughTime() => _readsClock ? ReadClock() : Volatile.Read(ref _now);

    private static long Milliseconds(TimeSpan span) => span == Timeout.InfiniteTimeSpan ? long.MaxValue : (long)Math.Ceiling(span.TotalMilliseconds);

    private static long Later(long now, long milliseconds) => milliseconds > long.MaxValue - now ? long.MaxValue : now + milliseconds;
}
