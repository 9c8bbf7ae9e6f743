using Microsoft.Extensions.Logging;

namespace Resilience.Hosting.Diagnostics;

internal static partial class HostingLog
{
    [LoggerMessage(EventId = 6000, EventName = "FeatureUnknown", Level = LogLevel.Warning, Message = "{path} names the feature '{feature}', which nothing has declared yet{hint} Until it is declared it has no effect.")]
    public static partial void FeatureUnknown(ILogger logger, string path, string feature, string hint);
}
