namespace Resilience.Hosting;

/// <summary>
/// What to tell OpenTelemetry: <c>metrics.AddMeter([.. ResilienceKitDiagnostics.MeterNames])</c> and
/// <c>tracing.AddSource([.. ResilienceKitDiagnostics.ActivitySourceNames])</c>. Immutable and thread-safe.
/// </summary>
public static class ResilienceKitDiagnostics
{
    /// <summary>The names of the kit's meters; each is the name of the package that measures.</summary>
    public static IReadOnlyList<string> MeterNames { get; } = Array.AsReadOnly(["Resilience.Context", "Resilience.Pools", "Resilience.Caching", "Resilience.Degrade", "Resilience.Redis"]);

    /// <summary>The names of the kit's activity sources.</summary>
    public static IReadOnlyList<string> ActivitySourceNames { get; } = Array.AsReadOnly(["Resilience.Context", "Resilience.Caching"]);
}
