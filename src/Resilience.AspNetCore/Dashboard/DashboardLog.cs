using Microsoft.Extensions.Logging;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

internal static partial class DashboardLog
{
    [LoggerMessage(EventId = 5100, EventName = "FeatureOverridden", Level = LogLevel.Warning, Message = "{who} sets feature '{feature}' to {state} until {until:u}: {reason}")]
    public static partial void Overridden(ILogger logger, string who, string feature, FeatureState state, DateTimeOffset until, string reason);

    [LoggerMessage(EventId = 5101, EventName = "OverrideLifted", Level = LogLevel.Warning, Message = "{who} lifts the override of feature '{feature}': {reason}")]
    public static partial void Lifted(ILogger logger, string who, string feature, string reason);

    [LoggerMessage(EventId = 5102, EventName = "ChangeRefused", Level = LogLevel.Warning, Message = "A change through the dashboard was refused, {count} so far: {problem}")]
    public static partial void Refused(ILogger logger, long count, string problem);

    [LoggerMessage(EventId = 5103, EventName = "PanelFailed", Level = LogLevel.Error, Message = "The dashboard cannot read {panel}; the page says so until it can.")]
    public static partial void PanelFailed(ILogger logger, string panel, Exception exception);
}
