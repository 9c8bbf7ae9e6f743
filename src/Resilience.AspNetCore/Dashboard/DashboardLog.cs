using Microsoft.Extensions.Logging;

namespace Resilience.AspNetCore.Dashboard;

internal static partial class DashboardLog
{
    [LoggerMessage(EventId = 5100, EventName = "ChangeRefused", Level = LogLevel.Warning, Message = "A change through the dashboard was refused, {count} so far: {problem}")]
    public static partial void Refused(ILogger logger, long count, string problem);

    [LoggerMessage(EventId = 5101, EventName = "PanelFailed", Level = LogLevel.Error, Message = "The dashboard cannot read {panel}; the page says so until it can.")]
    public static partial void PanelFailed(ILogger logger, string panel, Exception exception);

    [LoggerMessage(EventId = 5102, EventName = "ChangeFailed", Level = LogLevel.Error, Message = "A change through the dashboard could not be written down and was not made.")]
    public static partial void ChangeFailed(ILogger logger, Exception exception);
}
