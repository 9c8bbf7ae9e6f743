using System.Runtime.CompilerServices;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Logging;
using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Loading;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.Caching;

/// <summary>
/// A cache of two tiers that keeps a service reading while its source, its Redis or its network is slow, absent or under attack, and that
/// never hands out what it was told to forget.
/// </summary>
/// <remarks>
/// <para>It is a <see cref="HybridCache"/>: code written for that runs unchanged. Beyond it, a factory may see its load
/// (<see cref="CacheLoad{T}"/>), there is a look without a load, there are batches, and expiring is told from removing.</para>
/// <para>All members are thread-safe. A value of a mutable type is made anew for each caller, so that none can change another's;
/// see <see cref="CacheEntryOptions.ReuseInstances"/>. Failures of the shared tier never reach a caller.</para>
/// <para>Members throw <see cref="ArgumentException"/> for a key that is empty, and for a tag that is empty, <c>*</c> (but where that means
/// everything), longer than 1,024 characters or no valid text. A key longer than <see cref="CacheOptions.MaxKeyLength"/>, or that is no
/// valid text, is not cached: its factory runs each time.</para>
/// <para>The deadline of the caller's <see cref="RequestScope"/>, where there is one, bounds the wait: when it passes, the
/// caller gets the stale copy, or a <see cref="DeadlineExceededException"/>; the load goes on for those who have time left, a write or removal
/// in any case. A look says what is at hand by then and does not throw.</para>
/// </remarks>
public sealed partial class ResilientCache : HybridCache, IAsyncDisposable, IDisposable
{
    private readonly CacheCore _core;
    private readonly ReadPath _reads;
    private readonly LookPath _looks;
    private readonly LoadPath _loads;
    private readonly WritePath _writes;
    private readonly SharedWriter _writer;
    private readonly CacheUpkeep _upkeep;
    private readonly BatchPath _batches;
    private int _isDisposed;

    internal ResilientCache(LiveSettings<CacheOptions> settings, CacheParts parts)
    {
        Name = settings.Name;
        _core = new CacheCore(settings.Name, settings.Current, parts);
        _writer = new SharedWriter(_core);
        _loads = new LoadPath(_core, _writer);
        var waits = new AnswerWait(_core, _loads);
        _reads = new ReadPath(_core, _loads, waits);
        _looks = new LookPath(_core, _reads, _loads);
        _writes = new WritePath(_core, _writer);
        _batches = new BatchPath(_core, _reads, _looks, _loads, waits, new BatchLoad(_core, _reads, _loads));
        Inspector = new CacheInspector(_core);
        _upkeep = new CacheUpkeep(_core, _writes, _writer, parts.Backplane, settings);
    }

    /// <summary>The cache's name: options name, DI key and metric tag at once.</summary>
    public string Name { get; }

    /// <summary>What happens in the cache beside reads that hit.</summary>
    public CacheEvents Events => _core.Events;

    /// <summary>Looks into the cache for people.</summary>
    public ICacheInspector Inspector { get; }

    /// <summary>
    /// Whether reads are answered with a stale copy, where there is one, while its renewal runs in the background: for the time in which loads should
    /// not be waited for. False at first; <c>AddResilienceKit()</c> sets it while <see cref="CacheOptions.Feature"/> is degraded or off.
    /// </summary>
    public bool ServesStaleFirst
    {
        get => _core.ServesStaleFirst;
        set => _core.ServesStaleFirst = value;
    }

    /// <summary>How the cache sees its shared tier now. Costs next to nothing, unlike <see cref="Snapshot"/>.</summary>
    public SharedTierState SharedState => _core.Shared?.State ?? SharedTierState.None;

    /// <summary>The feature that the cache serves, as <see cref="CacheOptions.Feature"/> has it; <see langword="null"/> when it serves none.</summary>
    public string? Feature => _core.Settings.Feature;

    internal CacheCore Core => _core;

    internal CacheUpkeep Upkeep => _upkeep;

    internal SharedWriter Writer => _writer;

    /// <inheritdoc/>
    public override ValueTask<T> GetOrCreateAsync<TState, T>(string key, TState state, Func<TState, CancellationToken, ValueTask<T>> factory, HybridCacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        LocalEntry? found = null;
        if (options?.Flags is null or HybridCacheEntryFlags.None)
        {
            found = _core.Local.Find(key);
            if (_reads.TryHit(key, found, out T value))
            {
                return new ValueTask<T>(value);
            }
        }

        ArgumentNullException.ThrowIfNull(factory);
        return MissAsync<TState, T>(key, state, factory, _core.Policies.Get(options), tags, found, cancellationToken);
    }

    /// <inheritdoc/>
    public override ValueTask<T> GetOrCreateAsync<TState, T>(ReadOnlySpan<char> key, TState state, Func<TState, CancellationToken, ValueTask<T>> factory, HybridCacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        if (options?.Flags is null or HybridCacheEntryFlags.None && _reads.TryHit(key, _core.Local.Find(key), out T value))
        {
            return new ValueTask<T>(value);
        }

        return GetOrCreateAsync(key.ToString(), state, factory, options, tags, cancellationToken);
    }

    /// <summary>Gets a value, or loads it with a factory that sees its load.</summary>
    /// <typeparam name="TState">The type of what is handed to the factory.</typeparam>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key; not empty.</param>
    /// <param name="state">What is handed to the factory, so that it need not capture it.</param>
    /// <param name="factory">Loads the value. Its token is the load's own: cancelled when nobody waits any more or at the load timeout.</param>
    /// <param name="options">How the entry is kept; the cache's settings when <see langword="null"/>.</param>
    /// <param name="tags">The entry's tags.</param>
    /// <param name="cancellationToken">Ends this caller's wait, not the load that others wait for.</param>
    /// <returns>The value; the type's default when the factory said <see cref="CacheLoad{T}.Absent"/> or the guard refuses the key.</returns>
    /// <exception cref="CacheLoadTimeoutException">The load took longer than its timeout and no stale copy was at hand.</exception>
    /// <exception cref="CacheReentrancyException">Called from inside the factory that loads this key.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public ValueTask<T> GetOrCreateAsync<TState, T>(string key, TState state, Func<CacheLoad<T>, TState, CancellationToken, ValueTask<T>> factory, CacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        LocalEntry? found = null;
        if (options is null || options.TierFlags == HybridCacheEntryFlags.None)
        {
            found = _core.Local.Find(key);
            if (_reads.TryHit(key, found, out T value))
            {
                return new ValueTask<T>(value);
            }
        }

        ArgumentNullException.ThrowIfNull(factory);
        return MissAsync<TState, T>(key, state, factory, _core.Policies.Get(options), tags, found, cancellationToken);
    }

    /// <summary>Gets a value, or loads it with a factory that sees its load.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key; not empty.</param>
    /// <param name="factory">Loads the value.</param>
    /// <param name="options">How the entry is kept; the cache's settings when <see langword="null"/>.</param>
    /// <param name="tags">The entry's tags.</param>
    /// <param name="cancellationToken">Ends this caller's wait.</param>
    /// <returns>The value.</returns>
    public ValueTask<T> GetOrCreateAsync<T>(string key, Func<CacheLoad<T>, CancellationToken, ValueTask<T>> factory, CacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return GetOrCreateAsync<Func<CacheLoad<T>, CancellationToken, ValueTask<T>>, T>(key, factory, static (load, make, token) => make(load, token), options, tags, cancellationToken);
    }

    /// <summary>Looks for a value in the local tier alone. Runs no factory, asks no other tier, counts no load.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    /// <returns>What was found; a stale copy is found too, and says so.</returns>
    public CacheResult<T> TryGet<T>(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        return _looks.Peek<T>(_core.Local.Find(key));
    }

    /// <summary>Looks for a value in the local tier, then in the shared one. Runs no factory.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What was found; a stale copy is found too, and says so.</returns>
    public ValueTask<CacheResult<T>> TryGetAsync<T>(string key, CancellationToken cancellationToken = default)
    {
        CacheResult<T> local = TryGet<T>(key);
        if ((local.HasValue && !local.IsStale) || local.IsKnownAbsent || !_core.IsCacheable(key))
        {
            return new ValueTask<CacheResult<T>>(local);
        }

        if (_reads.IsRefused(key))
        {
            return new ValueTask<CacheResult<T>>(new CacheResult<T>(false, default, CacheOrigin.Guard, false, true, TimeSpan.Zero));
        }

        return _core.Shared is null ? new ValueTask<CacheResult<T>>(local) : _looks.PeekSharedAsync(key, local, cancellationToken);
    }

    /// <inheritdoc/>
    public override ValueTask SetAsync<T>(string key, T value, HybridCacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        cancellationToken.ThrowIfCancellationRequested();
        return SetCoreAsync(key, value, _core.Policies.Get(options), CacheText.CheckTags(tags));
    }

    /// <summary>Sets a value in both tiers and tells the other nodes.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="value">The value; <see langword="null"/> is one.</param>
    /// <param name="options">How it is kept.</param>
    /// <param name="tags">Its tags.</param>
    /// <param name="cancellationToken">Asked once, at the start: a write that has begun is finished.</param>
    public ValueTask SetAsync<T>(string key, T value, CacheEntryOptions options, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        cancellationToken.ThrowIfCancellationRequested();
        return SetCoreAsync(key, value, _core.Policies.Get(options), CacheText.CheckTags(tags));
    }

    /// <summary>Removes a key: nothing brings the value back, no load in flight and no stale copy. Returns when the shared tier knows, or has been found to be out of reach.</summary>
    /// <inheritdoc/>
    public override ValueTask RemoveAsync(string key, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        cancellationToken.ThrowIfCancellationRequested();
        return _core.IsCacheable(key) ? WithinAsync(_writes.InvalidateAsync(key, isRemoval: true)) : default;
    }

    /// <inheritdoc/>
    public override ValueTask RemoveAsync(IEnumerable<string> keys, CancellationToken cancellationToken = default) =>
        EachAsync(keys, static (self, key, token) => self.RemoveAsync(key, token), cancellationToken);

    /// <summary>Expires a key: the next read loads it anew, the old value stays behind as the stale copy for the time when that fails.</summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Asked once, at the start.</param>
    public ValueTask ExpireAsync(string key, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        cancellationToken.ThrowIfCancellationRequested();
        return _core.IsCacheable(key) ? WithinAsync(_writes.InvalidateAsync(key, isRemoval: false)) : default;
    }

    /// <summary>Expires keys; see <see cref="ExpireAsync(string, CancellationToken)"/>.</summary>
    /// <param name="keys">The keys.</param>
    /// <param name="cancellationToken">Asked before each.</param>
    public ValueTask ExpireAsync(IEnumerable<string> keys, CancellationToken cancellationToken = default) =>
        EachAsync(keys, static (self, key, token) => self.ExpireAsync(key, token), cancellationToken);

    /// <summary>Removes all entries of a tag; <c>*</c> is everything, as <see cref="HybridCache"/> has it.</summary>
    /// <inheritdoc/>
    public override ValueTask RemoveByTagAsync(string tag, CancellationToken cancellationToken = default)
    {
        CacheText.CheckTag(tag, nameof(tag));
        cancellationToken.ThrowIfCancellationRequested();
        return WithinAsync(_writes.InvalidateTagAsync(tag, isRemoval: true));
    }

    /// <inheritdoc/>
    public override ValueTask RemoveByTagAsync(IEnumerable<string> tags, CancellationToken cancellationToken = default) =>
        EachAsync(tags, static (self, tag, token) => self.RemoveByTagAsync(tag, token), cancellationToken);

    /// <summary>Expires all entries of a tag, keeping them as stale copies.</summary>
    /// <param name="tag">The tag; <c>*</c> is everything.</param>
    /// <param name="cancellationToken">Asked once, at the start.</param>
    public ValueTask ExpireByTagAsync(string tag, CancellationToken cancellationToken = default)
    {
        CacheText.CheckTag(tag, nameof(tag));
        cancellationToken.ThrowIfCancellationRequested();
        return WithinAsync(_writes.InvalidateTagAsync(tag, isRemoval: false));
    }

    /// <summary>Removes, or expires, everything in this cache on all nodes: by one version number, so it costs the same whatever the size.</summary>
    /// <param name="keepStale">Whether the values stay behind as stale copies.</param>
    /// <param name="cancellationToken">Asked once, at the start.</param>
    public ValueTask ClearAsync(bool keepStale = false, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return WithinAsync(_writes.InvalidateTagAsync(Invalidations.NamespaceTag, isRemoval: !keepStale));
    }

    /// <summary>What the cache has done and what it holds.</summary>
    public CacheSnapshot Snapshot()
    {
        CacheStatistics counts = _core.Statistics;
        return new CacheSnapshot
        {
            LocalHits = counts.Read(CacheCount.LocalHit),
            StaleServed = counts.Read(CacheCount.StaleServed),
            SharedHits = counts.Read(CacheCount.SharedHit),
            SourceLoads = counts.Read(CacheCount.SourceLoad),
            SourceFailures = counts.Read(CacheCount.SourceFailure),
            LoadTimeouts = counts.Read(CacheCount.LoadTimeout),
            Joined = counts.Read(CacheCount.Joined),
            NegativeHits = counts.Read(CacheCount.NegativeHit),
            GuardRefusals = counts.Read(CacheCount.GuardRefusal),
            Discarded = counts.Read(CacheCount.Discarded),
            EagerRefreshes = counts.Read(CacheCount.EagerRefresh),
            Oversized = counts.Read(CacheCount.Oversized),
            BadFrames = counts.Read(CacheCount.BadFrame),
            SharedFailures = counts.Read(CacheCount.SharedFailure),
            SharedRejected = counts.Read(CacheCount.SharedRejected),
            WritesDropped = counts.Read(CacheCount.WritesDropped),
            Revalidated = counts.Read(CacheCount.Revalidated),
            Distrusted = counts.Read(CacheCount.Distrusted),
            Invalidations = counts.Read(CacheCount.Invalidation),
            Replayed = counts.Read(CacheCount.Replayed),
            ReplaysPending = _writer.MissedCount,
            Flights = _core.Stripes.CountFlights(),
            LocalCount = _core.Local.Count,
            LocalWeight = _core.Local.Weight,
            Evictions = _core.Local.Evictions,
            SharedState = SharedState,
        };
    }

    /// <summary>Ends the cache: background writes are given the shared tier's hard timeout to finish. A second call does nothing.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            await _upkeep.DisposeAsync().ConfigureAwait(false);
            await _writer.DisposeAsync().ConfigureAwait(false);
            _core.Local.Dispose();
        }
    }

    /// <summary>Ends the cache without waiting for background writes; prefer <see cref="DisposeAsync"/>.</summary>
    public void Dispose() => _ = DisposeAsync().AsTask();

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ValueTask<T> MissAsync<TState, T>(string key, TState state, Delegate factory, EntryPolicy policy, IEnumerable<string>? tags, LocalEntry? found, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<T>(cancellationToken);
        }

        IReadOnlyCollection<string>? collected = CacheText.CheckTags(tags);
        _upkeep.Start();
        if (!_core.IsCacheable(key))
        {
            policy = _core.Policies.Uncached;
        }
        else if (found is null && policy.ReadsLocal && policy.Flags != HybridCacheEntryFlags.None)
        {
            found = _core.Local.Find(key); // Step 1 was left to us.
        }

        try
        {
            return _reads.ReadAsync<TState, T>(key, state, factory, policy, collected, found, cancellationToken);
        }
        catch (Exception exception)
        {
            // What fails at once fails as what fails later does: when it is awaited.
            return ValueTask.FromException<T>(exception);
        }
    }

    private ValueTask SetCoreAsync<T>(string key, T value, EntryPolicy policy, IReadOnlyCollection<string>? tags)
    {
        _upkeep.Start();
        return _core.IsCacheable(key) ? WithinAsync(_writes.SetAsync(key, value, policy, tags)) : default;
    }

    /// <summary>Waits for a write or removal no longer than the request has time; it goes on all the same.</summary>
    private ValueTask WithinAsync(ValueTask work) =>
        work.IsCompleted || RequestScope.Current is not { Deadline.IsNone: false } scope ? work : new ValueTask(AnswerWait.WithinAsync(work.AsTask(), _core, scope));

    private async ValueTask EachAsync(IEnumerable<string> names, Func<ResilientCache, string, CancellationToken, ValueTask> act, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(names);

        // Begun one after the other and awaited together: the shared tier sees one pipeline, not one round trip each.
        var pending = new List<Task>();
        foreach (string name in names)
        {
            ValueTask one = act(this, name, cancellationToken);
            if (!one.IsCompletedSuccessfully)
            {
                pending.Add(one.AsTask());
            }
        }

        await Task.WhenAll(pending).ConfigureAwait(false);
    }
}
