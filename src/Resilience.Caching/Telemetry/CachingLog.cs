using Microsoft.Extensions.Logging;

namespace Resilience.Caching.Telemetry;

/// <summary>The log messages of the package, 3000 to 3999. No key and no value is ever in them.</summary>
internal static partial class CachingLog
{
    [LoggerMessage(3001, LogLevel.Debug, "Cache '{Cache}': a load failed.")]
    public static partial void LoadFailed(ILogger logger, string cache, Exception exception);

    [LoggerMessage(3002, LogLevel.Warning, "Cache '{Cache}': a callback on a load's cancellation token failed.")]
    public static partial void CancellationFailed(ILogger logger, string cache, Exception exception);

    [LoggerMessage(3003, LogLevel.Warning, "Cache '{Cache}': a value of type {Type} is larger than MaxPayload ({MaxPayload} bytes) and is not kept; said once per type, the rest is counted.")]
    public static partial void Oversized(ILogger logger, string cache, Type type, long maxPayload);

    [LoggerMessage(3004, LogLevel.Warning, "Cache '{Cache}': a key of {Length} characters is not cached; it is longer than MaxKeyLength ({MaxKeyLength}) or not valid text. Said once.")]
    public static partial void KeyTooLong(ILogger logger, string cache, int length, int maxKeyLength);

    [LoggerMessage(3005, LogLevel.Error, "Cache '{Cache}': upkeep failed; it goes on.")]
    public static partial void UpkeepFailed(ILogger logger, string cache, Exception exception);

    [LoggerMessage(3006, LogLevel.Warning, "Cache '{Cache}': the scope of services of a load failed to be disposed.")]
    public static partial void ScopeFailed(ILogger logger, string cache, Exception exception);

    [LoggerMessage(3010, LogLevel.Warning, "Cache '{Cache}': the shared tier is taken for broken after {Failures} failed calls since the start; reads go on without it.")]
    public static partial void SharedOpened(ILogger logger, string cache, long failures, Exception? exception);

    [LoggerMessage(3011, LogLevel.Information, "Cache '{Cache}': the shared tier works again; {Missed} missed changes are being made good.")]
    public static partial void SharedClosed(ILogger logger, string cache, int missed);

    [LoggerMessage(3020, LogLevel.Warning, "Cache '{Cache}': invalidations may have been missed ({Reason}); local copies are compared with the shared tier when they are next used.")]
    public static partial void Distrusted(ILogger logger, string cache, string reason);

    [LoggerMessage(3021, LogLevel.Information, "Cache '{Cache}': hears of other nodes' changes.")]
    public static partial void BackplaneUp(ILogger logger, string cache);

    [LoggerMessage(3022, LogLevel.Warning, "Cache '{Cache}': the channel for other nodes' changes does not work; {Failures} attempts since it last did.")]
    public static partial void BackplaneFailed(ILogger logger, string cache, int failures, Exception exception);
}
