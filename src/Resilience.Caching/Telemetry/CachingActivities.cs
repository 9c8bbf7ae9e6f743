using System.Diagnostics;

namespace Resilience.Caching.Telemetry;

/// <summary>The traces of the package: one span a load.</summary>
internal static class CachingActivities
{
    public const string SourceName = "Resilience.Caching";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>Starts the span of a load; <see langword="null"/>, at no cost, when nobody listens.</summary>
    public static Activity? StartLoad(string cache)
    {
        if (!Source.HasListeners())
        {
            return null;
        }

        Activity? activity = Source.StartActivity("cache.load");
        activity?.SetTag("cache.name", cache);
        return activity;
    }
}
