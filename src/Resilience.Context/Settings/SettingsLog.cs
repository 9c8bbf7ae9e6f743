using Microsoft.Extensions.Logging;

namespace Resilience.Settings;

internal static partial class SettingsLog
{
    [LoggerMessage(EventId = 1900, EventName = "SettingsReloaded", Level = LogLevel.Information, Message = "Settings under {path} changed and are in force.")]
    public static partial void Reloaded(ILogger logger, string path);

    [LoggerMessage(EventId = 1901, EventName = "SettingsRejected", Level = LogLevel.Error, Message = "A change of the configuration was rejected, the last valid settings stay in force. {count} wrong: {errors}")]
    public static partial void Rejected(ILogger logger, int count, string errors);

    [LoggerMessage(EventId = 1902, EventName = "SettingsListenerFailed", Level = LogLevel.Error, Message = "Something that listens to settings under {path} failed to take the change.")]
    public static partial void ListenerFailed(ILogger logger, string path, Exception exception);
}
