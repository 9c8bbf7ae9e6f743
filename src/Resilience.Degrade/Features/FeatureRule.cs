using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>The settings of one feature, made ready for the hot path. Immutable; replaced when the settings change.</summary>
internal sealed class FeatureRule
{
    private readonly NameList? _exemptGroups;
    private readonly NameList? _exemptUsers;
    private readonly uint _seed; // the hash of the feature's name, from which that of each caller goes on
    private readonly uint _share; // of 2^32 callers, for how many a configured mode holds; all of them at uint.MaxValue

    public FeatureRule(Feature feature, FeatureSettings settings)
    {
        Feature = feature;
        Mode = settings.Mode;
        Reason = settings.Reason;
        Priority = settings.Priority ?? feature.Priority;
        (PressureLevel? degradeAt, PressureLevel? offAt) = FeatureRules.Thresholds(Priority);
        DegradeAt = settings.DegradeAt ?? degradeAt;
        OffAt = settings.OffAt ?? offAt;
        Triggers = [.. settings.Triggers];
        Until = !string.IsNullOrEmpty(settings.Until) && settings.TryReadUntil(out DateTimeOffset until) ? until : null;
        FallbackAt = settings.FallbackAt;
        FallbackOnError = settings.FallbackOnError;
        FallbackTimeout = settings.FallbackTimeout;
        FallbackConcurrency = settings.FallbackConcurrency;
        DrillShare = feature.IsSecurityCritical ? 0 : settings.DrillPercent / 100;
        _exemptGroups = NameList.Of(settings.Exempt.Groups);
        _exemptUsers = NameList.Of(settings.Exempt.Users);
        _seed = Seed(feature.Name);
        _share = settings.Percent >= 100 ? uint.MaxValue : (uint)(settings.Percent / 100 * uint.MaxValue);
    }

    public Feature Feature { get; }

    public FeatureMode Mode { get; }

    public string? Reason { get; }

    public Priority Priority { get; }

    public PressureLevel? DegradeAt { get; }

    public PressureLevel? OffAt { get; }

    public string[] Triggers { get; }

    public DateTimeOffset? Until { get; }

    public FeatureState FallbackAt { get; }

    public bool FallbackOnError { get; }

    public TimeSpan FallbackTimeout { get; }

    public int FallbackConcurrency { get; }

    public double DrillShare { get; }

    /// <summary>Whether callers are told apart at all.</summary>
    public bool IsTargeted => _exemptGroups is not null || _exemptUsers is not null || _share != uint.MaxValue;

    /// <summary>Whether a caller is spared from whatever the configuration and pressure decide.</summary>
    public bool IsExempt(in DegradationContext context) =>
        (context.Group is { } group && _exemptGroups is { } groups && groups.Contains(group))
        || (context.User is { } user && _exemptUsers is { } users && users.Contains(user));

    /// <summary>Whether the configured mode holds for a caller.</summary>
    public bool IsInShare(in DegradationContext context) =>
        _share == uint.MaxValue || context.User is not { } user || Hash(_seed, user) < _share;

    /// <summary>
    /// FNV-1a over the UTF-16 units with a final mix (MurmurHash3's), seeded by the feature: the same caller is in the same place on every
    /// node and after every restart, and in another place for another feature.
    /// </summary>
    internal static uint StableHash(string user, string feature) => Hash(Seed(feature), user);

    private static uint Seed(string feature)
    {
        uint hash = 2166136261;
        foreach (char c in feature)
        {
            hash = (hash ^ char.ToUpperInvariant(c)) * 16777619;
        }

        return hash;
    }

    private static uint Hash(uint seed, string user)
    {
        uint hash = seed;
        foreach (char c in user)
        {
            hash = (hash ^ c) * 16777619;
        }

        hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
        hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
        return hash ^ (hash >> 16);
    }
}
