using System.Globalization;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Caching.Hybrid;

namespace Resilience.Caching;

/// <summary>How an entry is kept and loaded, resolved: the call's options over the cache's settings, all times in milliseconds.</summary>
internal sealed class EntryPolicy
{
    public required long Expiration { get; init; }

    public required long LocalExpiration { get; init; }

    public required double Jitter { get; init; }

    public required long StaleFor { get; init; }

    public required long StaleThrottle { get; init; }

    /// <summary>-1 for infinite.</summary>
    public required long SoftTimeout { get; init; }

    public required long LoadTimeout { get; init; }

    public required double EagerRefresh { get; init; }

    public required double Beta { get; init; }

    public required long NegativeExpiration { get; init; }

    public required long FailureExpiration { get; init; }

    /// <summary>0 for none.</summary>
    public long Sliding { get; init; }

    /// <summary>0 for measured.</summary>
    public long Size { get; init; }

    public CacheEntryPriority Priority { get; init; } = CacheEntryPriority.Normal;

    public HybridCacheEntryFlags Flags { get; init; }

    public bool Compression { get; init; }

    public bool ReuseInstances { get; init; }

    public bool FreshScope { get; init; }

    public bool ReadsLocal => (Flags & HybridCacheEntryFlags.DisableLocalCacheRead) == HybridCacheEntryFlags.None;

    public bool WritesLocal => (Flags & HybridCacheEntryFlags.DisableLocalCacheWrite) == HybridCacheEntryFlags.None;

    public bool ReadsShared => (Flags & HybridCacheEntryFlags.DisableDistributedCacheRead) == HybridCacheEntryFlags.None;

    public bool WritesShared => (Flags & HybridCacheEntryFlags.DisableDistributedCacheWrite) == HybridCacheEntryFlags.None;

    public bool Loads => (Flags & HybridCacheEntryFlags.DisableUnderlyingData) == HybridCacheEntryFlags.None;

    /// <summary>The policy of a cache's own settings.</summary>
    public static EntryPolicy Of(CacheOptions settings) => Of(new CacheEntryOptions(), settings);

    /// <summary>The policy of a call.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    public static EntryPolicy Of(CacheEntryOptions options, CacheOptions settings)
    {
        TimeSpan expiration = Check(options.Expiration, 1, 365, nameof(options.Expiration)) ?? settings.Expiration;
        TimeSpan local = Check(options.LocalExpiration, 1, 365, nameof(options.LocalExpiration)) ?? settings.LocalExpiration ?? expiration;
        TimeSpan soft = options.SoftTimeout == Timeout.InfiniteTimeSpan ? Timeout.InfiniteTimeSpan
            : Check(options.SoftTimeout, 1, 1, nameof(options.SoftTimeout)) ?? settings.SoftTimeout;
        return new EntryPolicy
        {
            Expiration = Milliseconds(expiration),
            LocalExpiration = Milliseconds(local < expiration ? local : expiration),
            Jitter = Check(options.Jitter, 0.5, nameof(options.Jitter)) ?? settings.Jitter,
            StaleFor = Milliseconds(Check(options.StaleFor, 0, 365, nameof(options.StaleFor)) ?? settings.StaleFor),
            StaleThrottle = Milliseconds(Check(options.StaleThrottle, 0, 1, nameof(options.StaleThrottle)) ?? settings.StaleThrottle),
            SoftTimeout = soft == Timeout.InfiniteTimeSpan ? -1 : Milliseconds(soft),
            LoadTimeout = Milliseconds(Check(options.LoadTimeout, 1, 1, nameof(options.LoadTimeout)) ?? settings.LoadTimeout),
            EagerRefresh = Check(options.EagerRefresh, 0.99, nameof(options.EagerRefresh)) ?? settings.EagerRefresh,
            Beta = Check(options.Beta, 100, nameof(options.Beta)) ?? settings.Beta,
            NegativeExpiration = Milliseconds(Check(options.NegativeExpiration, 0, 365, nameof(options.NegativeExpiration)) ?? settings.NegativeExpiration),
            FailureExpiration = Milliseconds(Check(options.FailureExpiration, 0, 1, nameof(options.FailureExpiration)) ?? settings.FailureExpiration),
            Sliding = Check(options.Sliding, 10, 365, nameof(options.Sliding)) is { } sliding ? Milliseconds(sliding) : 0,
            Size = options.Size is { } size ? size >= 1 ? size : throw OutOfRange(nameof(options.Size), size, "at least 1") : 0,
            Priority = options.Priority,
            Flags = options.TierFlags,
            Compression = options.Compression ?? settings.Compression,
            ReuseInstances = options.ReuseInstances ?? settings.ReuseInstances,
            FreshScope = options.FreshScope,
        };
    }

    /// <summary>The options that say the same as the platform's.</summary>
    public static CacheEntryOptions From(HybridCacheEntryOptions options) => new()
    {
        Expiration = options.Expiration,
        LocalExpiration = options.LocalCacheExpiration is { } local && options.Expiration is { } all && local > all ? all : options.LocalCacheExpiration,
        TierFlags = options.Flags ?? HybridCacheEntryFlags.None,
        Compression = (options.Flags & HybridCacheEntryFlags.DisableCompression) > HybridCacheEntryFlags.None ? false : null,
    };

    private static long Milliseconds(TimeSpan span) => (long)Math.Ceiling(span.TotalMilliseconds);

    private static TimeSpan? Check(TimeSpan? value, long minimumMilliseconds, int maximumDays, string name) =>
        value is not { } span || (span >= TimeSpan.FromMilliseconds(minimumMilliseconds) && span <= TimeSpan.FromDays(maximumDays))
            ? value
            : throw OutOfRange(name, span, $"from {minimumMilliseconds} ms to {maximumDays} d");

    private static double? Check(double? value, double maximum, string name) =>
        value is not { } number || (number >= 0 && number <= maximum)
            ? value
            : throw OutOfRange(name, number, string.Create(CultureInfo.InvariantCulture, $"from 0 to {maximum}"));

    private static ArgumentOutOfRangeException OutOfRange(string name, object value, string allowed) =>
        new(name, value, $"CacheEntryOptions.{name} must be {allowed}.");
}

/// <summary>The policies of one state of a cache's settings: options objects are immutable, so each is resolved once.</summary>
internal sealed class EntryPolicies(CacheOptions settings)
{
    private readonly ConditionalWeakTable<object, EntryPolicy> _resolved = [];

    public CacheOptions Settings => settings;

    public EntryPolicy Default { get; } = EntryPolicy.Of(settings);

    /// <summary>For a look that must not load.</summary>
    public EntryPolicy Look { get; } = EntryPolicy.Of(new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableUnderlyingData }, settings);

    /// <summary>For a key that takes no part in caching.</summary>
    public EntryPolicy Uncached { get; } = EntryPolicy.Of(new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableLocalCache | HybridCacheEntryFlags.DisableDistributedCache }, settings);

    public EntryPolicy Get(CacheEntryOptions? options)
    {
        if (options is null)
        {
            return Default;
        }

        return _resolved.TryGetValue(options, out EntryPolicy? policy) ? policy : _resolved.GetValue(options, made => EntryPolicy.Of((CacheEntryOptions)made, settings));
    }

    public EntryPolicy Get(HybridCacheEntryOptions? options)
    {
        if (options is null)
        {
            return Default;
        }

        return _resolved.TryGetValue(options, out EntryPolicy? policy)
            ? policy
            : _resolved.GetValue(options, made => EntryPolicy.Of(EntryPolicy.From((HybridCacheEntryOptions)made), settings));
    }
}
