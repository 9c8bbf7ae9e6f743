using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Polly;
using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;
using Resilience.Caching.Serialization;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;
using Resilience.Context;

namespace Resilience.Caching;

/// <summary>The parts of one cache, in one place. What they do together is in <see cref="ReadPath"/>, <see cref="LoadPath"/> and <see cref="WritePath"/>.</summary>
internal sealed class CacheCore
{
    private volatile EntryPolicies _policies;
    private readonly ConcurrentDictionary<Type, bool> _oversizedTypes = new();
    private volatile bool _isBlind;
    private volatile bool _servesStaleFirst;
    private int _longKeysSaid;

    public CacheCore(string name, CacheOptions settings, CacheParts parts)
    {
        Name = name;
        Time = parts.Time;
        Clock = new CoarseClock(parts.Time);
        Services = parts.Services;
        Logger = parts.Logger;
        Random = parts.Random;
        Guard = parts.Guard;
        LoadPipeline = parts.LoadPipeline;
        Stripes = new KeyStripes(this);
        Events = new CacheEvents(Clock, parts.Time);
        _policies = new EntryPolicies(settings);
        Invalidations = new Invalidations(settings.MaxTrackedTags);
        Serializers = new CacheSerializers(parts.Services);
        LoadPermits = new SemaphoreSlim(settings.MaxConcurrentLoads);
        Local = parts.Local?.Invoke(Clock) ?? (settings.Local.Engine == LocalEngine.Memory
            ? new MemoryCacheTier(settings.Local, Clock)
            : new S3FifoTier(settings.Local.SizeLimit, parts.Time));
        KeyPrefix = $"v1:{name}:";
        Shared = parts.Shared is null ? null : new SharedTierClient(parts.Shared, parts.Leases, () => Settings.Shared, parts.Time, Statistics, parts.SharedPipeline);
        Versions = Shared is null ? null : new TagVersions(this, Shared);
        Entries = new EntryMaker(this);
    }

    public string Name { get; }

    public TimeProvider Time { get; }

    public CoarseClock Clock { get; }

    public IServiceProvider? Services { get; }

    public ILogger Logger { get; }

    /// <summary>A number from 0 up to 1, for jitter.</summary>
    public Func<double> Random { get; }

    public ICacheGuard? Guard { get; }

    public ILocalTier Local { get; }

    public KeyStripes Stripes { get; }

    public Invalidations Invalidations { get; }

    public CacheStatistics Statistics { get; } = new();

    /// <summary>What goes on beside reads that hit.</summary>
    public CacheEvents Events { get; }

    /// <summary>The keys that are hit most.</summary>
    public HotKeys HotKeys { get; } = new();

    /// <summary>What factories go through.</summary>
    public ResiliencePipeline? LoadPipeline { get; }

    public CacheSerializers Serializers { get; }

    public SemaphoreSlim LoadPermits { get; }

    public SharedTierClient? Shared { get; }

    /// <summary>The tags' versions in the shared tier; there when <see cref="Shared"/> is.</summary>
    public TagVersions? Versions { get; }

    public EntryMaker Entries { get; }

    /// <summary>What goes before a key in the shared tier: the format's number and the cache's name.</summary>
    public string KeyPrefix { get; }

    public EntryPolicies Policies => _policies;

    public CacheOptions Settings => _policies.Settings;

    /// <summary>Whether changes made by other nodes can't be heard at the moment.</summary>
    public bool IsBlind
    {
        get => _isBlind;
        set => _isBlind = value;
    }

    /// <summary>Whether stale copies are handed out at once and loads run in the background.</summary>
    public bool ServesStaleFirst
    {
        get => _servesStaleFirst;
        set => _servesStaleFirst = value;
    }

    /// <summary>When the node last began to distrust its local tier.</summary>
    public long DistrustedSince { get; private set; } = long.MinValue / 2;

    public void Apply(CacheOptions settings) => _policies = new EntryPolicies(settings);

    /// <summary>Whether an entry is good for anything, be it as a stale copy.</summary>
    public bool IsOfUse(LocalEntry entry) => IsOfUse(entry, Clock.Milliseconds);

    /// <inheritdoc cref="IsOfUse(LocalEntry)"/>
    public bool IsOfUse(LocalEntry entry, long now) => now < entry.DeadAt && Invalidations.Judge(entry) != Standing.Gone;

    /// <summary>
    /// How long a copy holds that cannot be compared with the shared tier, in milliseconds: at most <see cref="SharedTierOptions.BlindFor"/>,
    /// and by up to the jitter's share less, so that in an outage the copies of a node do not all expire in one moment.
    /// </summary>
    public long BlindSpan(EntryPolicy policy) => (long)(Settings.Shared.BlindFor.TotalMilliseconds * (1 - (policy.Jitter * Random())));

    /// <summary>Whether a key takes part in caching. A lone surrogate has no UTF-8 of its own, so two such keys could become one in the shared tier.</summary>
    public bool IsCacheable(string key)
    {
        if (key.Length <= Settings.MaxKeyLength && !CacheText.HasLoneSurrogate(key))
        {
            return true;
        }

        if (Interlocked.Exchange(ref _longKeysSaid, 1) == 0)
        {
            CachingLog.KeyTooLong(Logger, Name, key.Length, Settings.MaxKeyLength);
        }

        return false;
    }

    public void NoteStaleServed(ReadOnlySpan<char> key)
    {
        Statistics.Add(CacheCount.StaleServed);
        Events.Raise(CacheEventKind.StaleServed, key);
    }

    public void NoteBadFrame(string key)
    {
        Statistics.Add(CacheCount.BadFrame);
        Events.Raise(CacheEventKind.BadFrame, key);
    }

    /// <summary>A value is too large to be kept: counted each time, logged once per type.</summary>
    public void NoteOversized<T>(string key)
    {
        Statistics.Add(CacheCount.Oversized);
        Events.Raise(CacheEventKind.Oversized, key);
        if (_oversizedTypes.TryAdd(typeof(T), true))
        {
            CachingLog.Oversized(Logger, Name, typeof(T), Settings.MaxPayload);
        }
    }

    /// <summary>Takes every local copy for suspect: an invalidation may have been missed.</summary>
    public void Distrust()
    {
        DistrustedSince = Clock.Milliseconds;
        Invalidations.Distrust();
        Statistics.Add(CacheCount.Distrusted);
        Events.Raise(CacheEventKind.Distrusted, default);
    }
}

/// <summary>What a cache is put together from.</summary>
internal sealed record CacheParts
{
    public TimeProvider Time { get; init; } = TimeProvider.System;

    public IServiceProvider? Services { get; init; }

    public ILogger Logger { get; init; } = Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance;

    public Func<double> Random { get; init; } = System.Random.Shared.NextDouble;

    public ICacheGuard? Guard { get; init; }

    public ISharedTier? Shared { get; init; }

    public ILeaseStore? Leases { get; init; }

    public IBackplane? Backplane { get; init; }

    public ResiliencePipeline? LoadPipeline { get; init; }

    public ResiliencePipeline? SharedPipeline { get; init; }

    /// <summary>Makes a local tier other than the one of the settings.</summary>
    public Func<CoarseClock, ILocalTier>? Local { get; init; }
}
