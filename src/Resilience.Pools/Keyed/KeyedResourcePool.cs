using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Resilience.Pools;

/// <summary>
/// A pool per key, such as a mail server or a tenant's database, with a bound per key and a bound over all of them. A key whose backend
/// is down or slow fills no more than its own pool. A key that nobody uses vanishes.
/// </summary>
/// <typeparam name="TKey">The key. It stands in no error, log or metric.</typeparam>
/// <typeparam name="T">The resource.</typeparam>
/// <remarks>All members are thread-safe.</remarks>
public sealed partial class KeyedResourcePool<TKey, T> : IResourcePool, IAsyncDisposable, IDisposable
    where TKey : notnull
    where T : class
{
    private readonly ConcurrentDictionary<TKey, Member> _members = new();
    private readonly Func<TKey, IResourceFactory<T>> _factory;
    private readonly TimeProvider _time;
    private readonly ILogger? _logger;
    private readonly PoolMetrics _metrics;
    private readonly SharedBound _bound;
    private readonly int _maxTotal;
    private readonly TimeSpan _keyIdleTimeout;
    private readonly ITimer _timer;
    private readonly CancellationTokenSource _end;
    private readonly Lock _forgetting = new(); // guards _leaving, _forgotten and that a pool is among the members or in one of them
    private readonly List<ResourcePool<T>> _leaving = [];
    private volatile PoolOptions _perKey;
    private KeyTotals _forgotten;
    private volatile bool _isClosed;
    private volatile bool _yields;

    /// <summary>Makes a keyed pool. Nothing is created before the first acquire.</summary>
    /// <param name="name">Its name in errors, logs and metrics, the same for all keys.</param>
    /// <param name="factory">Makes the factory of a key's resources.</param>
    /// <param name="options">The settings, copied; defaults when <see langword="null"/>.</param>
    /// <param name="timeProvider">The clock; the system's when <see langword="null"/>.</param>
    /// <param name="logger">Where leaks and outages are told; nowhere when <see langword="null"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A setting is out of its range.</exception>
    /// <exception cref="Settings.SettingsException">The settings per key are not valid.</exception>
    public KeyedResourcePool(string name, Func<TKey, IResourceFactory<T>> factory, KeyedPoolOptions? options = null, TimeProvider? timeProvider = null, ILogger? logger = null)
        : this(name, factory, options ?? new KeyedPoolOptions(), timeProvider, logger, PoolMetrics.Shared)
    {
    }

    internal KeyedResourcePool(string name, Func<TKey, IResourceFactory<T>> factory, KeyedPoolOptions options, TimeProvider? timeProvider, ILogger? logger, PoolMetrics metrics)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(factory);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxTotal, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.KeyIdleTimeout, TimeSpan.FromMilliseconds(10), nameof(options));
        IReadOnlyList<Settings.SettingsError> errors = Settings.SettingsReader.Check($"Resilience:Pools:{name}", options.PerKey);
        if (errors.Count > 0)
        {
            throw new Settings.SettingsException(errors);
        }

        Name = name;
        _factory = factory;
        _perKey = options.PerKey.Copy();
        _maxTotal = options.MaxTotal;
        _keyIdleTimeout = options.KeyIdleTimeout;
        _time = timeProvider ?? TimeProvider.System;
        _logger = logger;
        _metrics = metrics;
        _bound = new SharedBound(_maxTotal);
        _end = new CancellationTokenSource(Timeout.InfiniteTimeSpan, _time);
        AsyncFlowControl? flow = ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
        TimeSpan period = TimeSpan.FromTicks(Math.Min(_keyIdleTimeout.Ticks / 2, TimeSpan.TicksPerMinute));
        _timer = _time.CreateTimer(static pool => ((KeyedResourcePool<TKey, T>)pool!).ForgetIdleKeys(), this, period, period);
        flow?.Undo();
        _metrics.Add(this);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>How many keys have a pool now.</summary>
    public int KeyCount => _members.Count;

    /// <inheritdoc/>
    public PoolOccupancy Occupancy
    {
        get
        {
            (int leased, int waiting, var backend) = (0, 0, PoolBackendState.Up);
            foreach ((_, Member member) in _members)
            {
                if (member.Pool?.Occupancy is not { } one)
                {
                    continue;
                }

                leased += one.Leased;
                waiting += one.Waiting;
                backend = one.Backend > backend ? one.Backend : backend;
            }

            return new PoolOccupancy(leased, waiting, _maxTotal, backend);
        }
    }

    /// <inheritdoc/>
    public string? Feature => _perKey.Feature;

    /// <inheritdoc/>
    public bool YieldsToPriority
    {
        get => _yields;
        set
        {
            _yields = value;
            foreach ((_, Member member) in _members)
            {
                member.Pool?.YieldsToPriority = value;
            }
        }
    }

    /// <summary>The pipeline that creations of all keys run in, if there is one.</summary>
    internal Polly.ResiliencePipeline? Pipeline { get; init; }

    /// <summary>Leases a resource of a key; see <see cref="ResourcePool{T}.AcquireAsync(CancellationToken, string, int)"/> for what is thrown.</summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="callerFile">Filled in by the compiler.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    public ValueTask<PoolLease<T>> AcquireAsync(TKey key, CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        ValueTask<PoolLease<T>> lease = Find(key).AcquireAsync(cancellationToken, callerFile, callerLine);
        return lease.IsCompletedSuccessfully ? lease : RetryAsync(lease, key, default, callerFile, callerLine, cancellationToken);
    }

    /// <summary>The same as the simpler overload, with a timeout, a priority or a tag of its own.</summary>
    /// <param name="key">The key.</param>
    /// <param name="request">What differs from the settings.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="callerFile">Filled in by the compiler.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    public ValueTask<PoolLease<T>> AcquireAsync(TKey key, in PoolRequest request, CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        ValueTask<PoolLease<T>> lease = Find(key).AcquireAsync(request, cancellationToken, callerFile, callerLine);
        return lease.IsCompletedSuccessfully ? lease : RetryAsync(lease, key, request, callerFile, callerLine, cancellationToken);
    }

    /// <summary>Leases an idle resource of a key, if there is one; see <see cref="ResourcePool{T}.TryAcquire"/>.</summary>
    /// <param name="key">The key.</param>
    /// <param name="lease">The lease.</param>
    /// <param name="callerFile">Filled in by the compiler.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    /// <returns>Whether there was one. A key that has no pool does not get one by it.</returns>
    public bool TryAcquire(TKey key, out PoolLease<T> lease, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        if (_members.TryGetValue(key, out Member? member) && member.Pool is { } pool)
        {
            member.UsedAt = _time.GetTimestamp();
            return pool.TryAcquire(out lease, callerFile, callerLine);
        }

        lease = default;
        return false;
    }

    /// <summary>The state of one key's pool; <see langword="null"/> when it has none.</summary>
    /// <param name="key">The key.</param>
    public PoolSnapshot? Snapshot(TKey key) => _members.TryGetValue(key, out Member? member) ? member.Pool?.Snapshot() : null;

    /// <summary>All keys together; the limit is that over all, the backend's state the worst of any key.</summary>
    public PoolSnapshot Snapshot()
    {
        PoolSnapshot[] all;
        KeyTotals forgotten;
        lock (_forgetting)
        {
            all = [.. Made().Concat(_leaving).Select(static pool => pool.Snapshot())];
            forgotten = _forgotten;
        }

        return new PoolSnapshot
        {
            Name = Name,
            MaxSize = _maxTotal,
            Limit = _maxTotal,
            MinIdle = 0,
            Open = _bound.Taken,
            Idle = all.Sum(pool => pool.Idle),
            Leased = all.Sum(pool => pool.Leased),
            Creating = all.Sum(pool => pool.Creating),
            Checking = all.Sum(pool => pool.Checking),
            Closing = all.Sum(pool => pool.Closing),
            Waiting = all.Sum(pool => pool.Waiting),
            Backend = all.Select(pool => pool.Backend).DefaultIfEmpty().Max(),
            CreateFailures = all.Select(pool => pool.CreateFailures).DefaultIfEmpty().Max(),
            IsClosed = _isClosed,
            Timeouts = all.Sum(pool => pool.Timeouts) + forgotten.Timeouts,
            Leaks = all.Sum(pool => pool.Leaks) + forgotten.Leaks,
            SinceLastLeak = all.Min(pool => pool.SinceLastLeak),
            Reclaims = all.Sum(pool => pool.Reclaims) + forgotten.Reclaims,
            StaleReturns = all.Sum(pool => pool.StaleReturns) + forgotten.StaleReturns,
            Created = all.Sum(pool => pool.Created) + forgotten.Created,
            Destroyed = all.Sum(pool => pool.Destroyed) + forgotten.Destroyed,
            Holders = [.. all.SelectMany(pool => pool.Holders).OrderByDescending(holder => holder.Age)],
        };
    }

    /// <inheritdoc/>
    public Task ClearAsync(TimeSpan pace = default, CancellationToken cancellationToken = default) =>
        Task.WhenAll(Made().Select(pool => pool.ClearAsync(pace, cancellationToken)));

    /// <summary>Replaces the resources of one key; see <see cref="ResourcePool{T}.ClearAsync"/>. Nothing to do when the key has no pool.</summary>
    /// <param name="key">The key.</param>
    /// <param name="pace">Over how long the replacement is spread.</param>
    /// <param name="cancellationToken">Ends the wait, not the clearing.</param>
    public Task ClearKeyAsync(TKey key, TimeSpan pace = default, CancellationToken cancellationToken = default) =>
        _members.TryGetValue(key, out Member? member) && member.Pool is { } pool ? pool.ClearAsync(pace, cancellationToken) : Task.CompletedTask;

    /// <summary>Changes the bound per key.</summary>
    /// <param name="maxSize">The new bound, from 1 to 65,536.</param>
    public void Resize(int maxSize) => Apply(_perKey.CopyWithMaxSize(maxSize));

    /// <summary>Puts other settings per key in force, for the keys that are there and those to come.</summary>
    internal void Apply(PoolOptions perKey)
    {
        PoolOptions options = perKey.Copy();
        options.DetectNestedAcquire = _perKey.DetectNestedAcquire;
        _perKey = options;
        foreach (ResourcePool<T> pool in Made())
        {
            pool.Apply(options);
        }
    }

    /// <summary>Closes the pools of all keys; see <see cref="ResourcePool{T}.DrainAsync(TimeSpan?)"/>.</summary>
    /// <param name="timeout">How long leases may still last; the options' when <see langword="null"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative and not infinite.</exception>
    public Task<PoolDrainResult> DrainAsync(TimeSpan? timeout = null)
    {
        TimerSpan.ThrowIfNegative(timeout, nameof(timeout));
        return DrainAsync(timeout, CancellationToken.None);
    }

    internal async Task<PoolDrainResult> DrainAsync(TimeSpan? timeout, CancellationToken hurry)
    {
        _isClosed = true;
        await _timer.DisposeAsync().ConfigureAwait(false);
        _end.CancelAfter(TimerSpan.Of(timeout ?? _perKey.DrainTimeout));
        ResourcePool<T>[] all;
        lock (_forgetting)
        {
            all = [.. Made(), .. _leaving];
        }

        PoolDrainResult[] results = await Task.WhenAll(all.Select(pool => pool.DrainAsync(timeout, hurry))).ConfigureAwait(false);
        _metrics.Remove(this);
        return new PoolDrainResult(results.Sum(result => result.Returned), results.Sum(result => result.Reclaimed), results.All(result => result.IsEmpty));
    }

    /// <summary>Drains with the options' timeout.</summary>
    public async ValueTask DisposeAsync() => await DrainAsync().ConfigureAwait(false);

    /// <summary>Begins to drain, and does not wait for it; prefer <see cref="DisposeAsync"/>.</summary>
    public void Dispose() => _ = DrainAsync();

    private async ValueTask<PoolLease<T>> RetryAsync(ValueTask<PoolLease<T>> attempt, TKey key, PoolRequest request, string file, int line, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return await attempt.ConfigureAwait(false);
            }
            catch (PoolClosedException) when (!_isClosed)
            {
                // The key was being forgotten just now; it gets a new pool.
                attempt = Find(key).AcquireAsync(request, cancellationToken, file, line);
            }
        }
    }

    private ResourcePool<T> Find(TKey key)
    {
        if (_isClosed)
        {
            throw new PoolClosedException(Name);
        }

        while (true)
        {
            if (!_members.TryGetValue(key, out Member? member))
            {
                member = _members.GetOrAdd(key, static _ => new Member());
            }

            member.UsedAt = _time.GetTimestamp();
            if (member.PoolOrMake(this, key) is not { } pool)
            {
                // Its pool could not be made, which its caller was told: this one tries anew.
                continue;
            }

            if (_isClosed)
            {
                // The drain may not have seen this one.
                pool.Dispose();
            }

            return pool;
        }
    }

    /// <summary>The pools of all keys; one that is being made is waited for.</summary>
    private IEnumerable<ResourcePool<T>> Made() => _members.Select(static pair => pair.Value.Pool).OfType<ResourcePool<T>>();

    private ResourcePool<T> Make(TKey key)
    {
        var pool = new ResourcePool<T>(Name, _factory(key), _perKey, _time, _logger, _metrics, admission: null, _bound) { Pipeline = Pipeline, YieldsToPriority = _yields };
        _bound.Join(pool);
        return pool;
    }

    private void ForgetIdleKeys()
    {
        foreach ((TKey key, Member member) in _members)
        {
            if (_time.GetElapsedTime(member.UsedAt) < _keyIdleTimeout)
            {
                continue;
            }

            if (member.Pool is { } pool && pool.Snapshot() is { Leased: 0, Waiting: 0, Creating: 0, Checking: 0 })
            {
                lock (_forgetting)
                {
                    if (!_members.TryRemove(KeyValuePair.Create(key, member)))
                    {
                        continue;
                    }

                    _leaving.Add(pool);
                }

                _ = ForgetAsync(pool);
            }
        }
    }

    /// <summary>
    /// Ends the pool of a key and its idle resources. A caller who found the pool a moment ago is sent to a new one, or, if it has a lease
    /// already, keeps that as long as it likes: being forgotten is no reason to take it away.
    /// </summary>
    private async Task ForgetAsync(ResourcePool<T> pool)
    {
        await pool.DrainAsync(Timeout.InfiniteTimeSpan, _end.Token).ConfigureAwait(false);
        _bound.Leave(pool); // only now: until it is closed it may still want a place
        PoolSnapshot last = pool.Snapshot();
        lock (_forgetting)
        {
            _leaving.Remove(pool);
            _forgotten = new KeyTotals(
                _forgotten.Timeouts + last.Timeouts, _forgotten.Leaks + last.Leaks, _forgotten.Reclaims + last.Reclaims, _forgotten.StaleReturns + last.StaleReturns, _forgotten.Created + last.Created, _forgotten.Destroyed + last.Destroyed);
        }
    }

    /// <summary>What the pools of forgotten keys had counted: totals must not fall when a key vanishes.</summary>
    private readonly record struct KeyTotals(long Timeouts, long Leaks, long Reclaims, long StaleReturns, long Created, long Destroyed);

    /// <summary>A key. Its pool is made once, by the first of its callers; if that fails the key vanishes, for the next caller may have more luck.</summary>
    private sealed class Member
    {
        private readonly Lock _making = new(); // guards the making and _hasFailed
        private volatile ResourcePool<T>? _pool;
        private bool _hasFailed;
        private long _usedAt;

        /// <summary>The pool, if there is one; while it is being made, that is waited for.</summary>
        public ResourcePool<T>? Pool
        {
            get
            {
                if (_pool is { } made)
                {
                    return made;
                }

                lock (_making)
                {
                    return _pool;
                }
            }
        }

        public long UsedAt
        {
            get => Interlocked.Read(ref _usedAt);
            set => Interlocked.Exchange(ref _usedAt, value);
        }

        /// <summary>The pool; <see langword="null"/> when another caller failed to make it, and this key has gone.</summary>
        public ResourcePool<T>? PoolOrMake(KeyedResourcePool<TKey, T> owner, TKey key)
        {
            if (_pool is { } made)
            {
                return made;
            }

            lock (_making)
            {
                if (_pool is null && !_hasFailed)
                {
                    try
                    {
                        _pool = owner.Make(key);
                    }
                    catch
                    {
                        _hasFailed = true;
                        owner._members.TryRemove(KeyValuePair.Create(key, this));
                        throw;
                    }
                }

                return _pool;
            }
        }
    }
}
