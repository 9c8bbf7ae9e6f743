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
    private volatile bool _isBlind;
    private volatile bool _servesStaleFirst;

    public CacheCore(string name, CacheOptions settings, CacheParts parts)
    {
        Name = name;
        Time = parts.Time;
        Clock = new CoarseClock(parts.Time);
        Services = parts.Services;
        Logger = parts.Logger;
        Random = parts.Random;
        Guard = parts.Guard;
        _policies = new EntryPolicies(settings);
        Invalidations = new Invalidations(settings.MaxTrackedTags);
        Serializers = new CacheSerializers(parts.Services);
        LoadPermits = new SemaphoreSlim(settings.MaxConcurrentLoads);
        Local = parts.Local?.Invoke(Clock) ?? (settings.Local.Engine == LocalEngine.Memory
            ? new MemoryCacheTier(settings.Local, Clock)
            : new S3FifoTier(settings.Local.SizeLimit, parts.Time));
        KeyPrefix = $"v1:{name}:";
        Shared = parts.Shared is null ? null : new SharedTierClient(parts.Shared, parts.Leases, () => Settings.Shared, parts.Time, Statistics, parts.Random) { Pipeline = parts.SharedPipeline };
        Pipeline = parts.Pipeline;
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

    public KeyStripes Stripes { get; } = new();

    public Invalidations Invalidations { get; }

    public CacheStatistics Statistics { get; } = new();

    public CacheSerializers Serializers { get; }

    public SemaphoreSlim LoadPermits { get; }

    public SharedTierClient? Shared { get; }

    /// <summary>The pipeline that loads run in, if there is one.</summary>
    public ResiliencePipeline? Pipeline { get; }

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

    /// <summary>Whether a stale copy is the answer at once, and its renewal runs in the background.</summary>
    public bool ServesStaleFirst
    {
        get => _servesStaleFirst;
        set => _servesStaleFirst = value;
    }

    /// <summary>When the node last began to distrust its local tier.</summary>
    public long DistrustedSince { get; private set; } = long.MinValue / 2;

    public void Apply(CacheOptions settings) => _policies = new EntryPolicies(settings);

    /// <summary>Takes every local copy for suspect: an invalidation may have been missed.</summary>
    public void Distrust()
    {
        DistrustedSince = Clock.Milliseconds;
        Invalidations.Distrust();
        Statistics.Add(CacheCount.Distrusted);
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

    public ResiliencePipeline? Pipeline { get; init; }

    public ResiliencePipeline? SharedPipeline { get; init; }

    /// <summary>Makes a local tier other than the one of the settings.</summary>
    public Func<CoarseClock, ILocalTier>? Local { get; init; }
}
