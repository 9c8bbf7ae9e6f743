using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>All figures of one moment. A part is <see langword="null"/> when its block is not registered. Immutable.</summary>
internal sealed record DashboardSnapshot
{
    /// <summary>By the wall clock of this process; the page reckons ages from it, not from its own clock.</summary>
    public required DateTimeOffset Now { get; init; }

    public required double UptimeSeconds { get; init; }

    /// <summary>What is wrong, the worst first.</summary>
    public IReadOnlyList<Finding> Findings { get; init; } = [];

    public PressureFigures? Pressure { get; init; }

    public AdmissionFigures? Admission { get; init; }

    public FeatureCounts? Features { get; init; }

    public IReadOnlyList<PoolFigures>? Pools { get; init; }

    public IReadOnlyList<CacheFigures>? Caches { get; init; }

    public ScopeFigures? Scopes { get; init; }

    /// <summary>What the last change of the configuration said and was rejected for.</summary>
    public IReadOnlyList<RejectedSetting> RejectedSettings { get; init; } = [];

    /// <summary>Panels that failed, with the type of the failure.</summary>
    public IReadOnlyList<string> Unreadable { get; init; } = [];
}

/// <summary>How bad a finding is.</summary>
internal enum Severity
{
    /// <summary>Work is failing or about to.</summary>
    Critical,

    /// <summary>The service does less than it should, or soon will.</summary>
    Warning,

    /// <summary>Somebody meant it so, and should remember.</summary>
    Notice,
}

/// <summary>One thing that is wrong.</summary>
/// <param name="Severity">How bad.</param>
/// <param name="Area">The section of the page: <c>pressure</c>, <c>features</c>, <c>pools</c>, <c>caches</c>, <c>scopes</c> or <c>settings</c>.</param>
/// <param name="Subject">What it is about.</param>
/// <param name="Text">What is wrong, with figures and the reason.</param>
internal sealed record Finding(Severity Severity, string Area, string Subject, string Text);

/// <summary>What presses on the process.</summary>
internal sealed record PressureFigures
{
    public required PressureLevel Level { get; init; }

    /// <summary>The signal that has the level; empty when nothing presses.</summary>
    public required string Loudest { get; init; }

    /// <summary>How late the last sample was.</summary>
    public double LateBySeconds { get; init; }

    /// <summary>Whether memory stays high after a collection.</summary>
    public bool IsMemoryStuck { get; init; }

    public required IReadOnlyList<SignalFigures> Signals { get; init; }
}

internal sealed record SignalFigures(string Name, double Value, PressureLevel Level);

/// <summary>What admission does.</summary>
/// <param name="Inside">How many requests are inside.</param>
/// <param name="IsHot">Whether the process is taken to be overloaded.</param>
/// <param name="Classes">The priorities, the most important first.</param>
internal sealed record AdmissionFigures(int Inside, bool IsHot, IReadOnlyList<AdmissionClass> Classes);

/// <summary>Admission of one priority.</summary>
/// <param name="Priority">The priority.</param>
/// <param name="Limit">How many may be inside when such a request arrives.</param>
/// <param name="AdmittedPerSecond">Over the last ten seconds.</param>
/// <param name="RefusedPerSecond">Over the last ten seconds.</param>
internal sealed record AdmissionClass(string Priority, int Limit, double AdmittedPerSecond, double RefusedPerSecond);

/// <summary>How many features are in which state.</summary>
internal sealed record FeatureCounts(int All, int Degraded, int Off, int Overridden);

/// <summary>One feature as the page shows it.</summary>
internal sealed record FeatureFigures
{
    public required string Name { get; init; }

    public required string Priority { get; init; }

    public required FeatureState State { get; init; }

    public required FeatureState Default { get; init; }

    public required DecisionSource Source { get; init; }

    public required string Reason { get; init; }

    public required PressureLevel Level { get; init; }

    public required DateTimeOffset Since { get; init; }

    public required DateTimeOffset? Until { get; init; }

    public required bool SecurityCritical { get; init; }

    public static FeatureFigures Of(FeatureDecision decision) => new()
    {
        Name = decision.Feature.Name,
        Priority = decision.Feature.Priority.ToString(),
        State = decision.State,
        Default = decision.Feature.Default,
        Source = decision.Source,
        Reason = decision.Reason,
        Level = decision.Level,
        Since = decision.Since,
        Until = decision.Until,
        SecurityCritical = decision.Feature.IsSecurityCritical,
    };
}

/// <summary>One pool.</summary>
internal sealed record PoolFigures
{
    public required string Name { get; init; }

    public required int MaxSize { get; init; }

    public required int Limit { get; init; }

    public required int Leased { get; init; }

    public required int Idle { get; init; }

    /// <summary>Created, checked or closed at the moment.</summary>
    public required int Busy { get; init; }

    public required int Waiting { get; init; }

    /// <summary>What creation is up to: <c>Up</c>, <c>Failing</c> or <c>Down</c>.</summary>
    public required string Backend { get; init; }

    public int CreateFailures { get; init; }

    public bool IsClosed { get; init; }

    public long Timeouts { get; init; }

    public long Leaks { get; init; }

    public long Reclaims { get; init; }

    /// <summary>Whether waiters are served by priority alone, because the pool's feature is lowered.</summary>
    public bool Yields { get; init; }

    /// <summary>The oldest holders, at most <see cref="MaxHolders"/>.</summary>
    public required IReadOnlyList<HolderFigures> Holders { get; init; }

    public const int MaxHolders = 10;
}

/// <summary>Who holds a resource.</summary>
internal sealed record HolderFigures(double AgeSeconds, string Where, string? Stack);

/// <summary>One cache: what it does per second of the last ten, and what it holds.</summary>
internal sealed record CacheFigures
{
    public required string Name { get; init; }

    public required double ReadsPerSecond { get; init; }

    /// <summary>The share of reads that the local tier answered; <see langword="null"/> when there were none.</summary>
    public required double? LocalHitRatio { get; init; }

    /// <summary>The share of the rest that the shared tier answered.</summary>
    public required double? SharedHitRatio { get; init; }

    public required double LoadsPerSecond { get; init; }

    public required double FailuresPerSecond { get; init; }

    public required double StalePerSecond { get; init; }

    public required double RefusedPerSecond { get; init; }

    public required int Flights { get; init; }

    public required long Entries { get; init; }

    public required long Weight { get; init; }

    /// <summary>The shared tier's breaker: <c>None</c>, <c>Closed</c>, <c>Open</c> or <c>Probing</c>.</summary>
    public required string SharedTier { get; init; }

    /// <summary>Missed writes and removals that wait for the shared tier.</summary>
    public long ReplaysPending { get; init; }

    /// <summary>Whether stale copies are served first, because the cache's feature is lowered.</summary>
    public bool ServesStaleFirst { get; init; }

    /// <summary>The guard; <see langword="null"/> when the cache has none.</summary>
    public GuardFigures? Guard { get; init; }
}

/// <summary>The guard of a cache.</summary>
/// <param name="State">A <see cref="Caching.Guard.GuardState"/>.</param>
/// <param name="Keys">How many keys the filter holds.</param>
/// <param name="FalsePositiveRate">The estimated share of keys that do not exist and pass all the same.</param>
/// <param name="Contradictions">How many refused keys turned out to exist, since the start.</param>
internal sealed record GuardFigures(string State, long Keys, double FalsePositiveRate, long Contradictions);

/// <summary>Request scopes.</summary>
internal sealed record ScopeFigures
{
    public required int Live { get; init; }

    /// <summary>How many leaked since the start.</summary>
    public required long Leaks { get; init; }

    /// <summary>The last leaks, newest first.</summary>
    public required IReadOnlyList<LeakFigures> LastLeaks { get; init; }

    /// <summary>The oldest live ones.</summary>
    public required IReadOnlyList<LeakFigures> Oldest { get; init; }
}

/// <summary>One scope that leaked, or is old.</summary>
internal sealed record LeakFigures(string Kind, double AgeSeconds, string Where, string? Stack);

internal sealed record RejectedSetting(string Path, string? Value, string Problem);
