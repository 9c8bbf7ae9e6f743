using Microsoft.Extensions.Logging;

namespace Resilience.Degrade;

internal static partial class DegradeLog
{
    [LoggerMessage(EventId = 4000, EventName = "FeatureChanged", Level = LogLevel.Warning, Message = "Feature '{feature}' goes from {before} to {after} by {source}: {reason}")]
    public static partial void FeatureLowered(ILogger logger, string feature, FeatureState before, FeatureState after, DecisionSource source, string reason);

    [LoggerMessage(EventId = 4001, EventName = "FeatureRestored", Level = LogLevel.Information, Message = "Feature '{feature}' is back from {before} to {after} by {source}: {reason}")]
    public static partial void FeatureRestored(ILogger logger, string feature, FeatureState before, FeatureState after, DecisionSource source, string reason);

    [LoggerMessage(EventId = 4002, EventName = "FeatureMistyped", Level = LogLevel.Warning, Message = "{path} names a feature that nothing has declared; did you mean '{nearest}'? It has no effect until it is declared.")]
    public static partial void FeatureUnknownButNear(ILogger logger, string path, string nearest);

    [LoggerMessage(EventId = 4003, EventName = "FeatureUnknown", Level = LogLevel.Warning, Message = "{path} names a feature that nothing has declared. It has no effect until it is declared.")]
    public static partial void FeatureUnknown(ILogger logger, string path);

    [LoggerMessage(EventId = 4004, EventName = "ChangeListenerFailed", Level = LogLevel.Error, Message = "A listener to changes of features failed at feature '{feature}'.")]
    public static partial void ListenerFailed(ILogger logger, string feature, Exception exception);

    [LoggerMessage(EventId = 4005, EventName = "FeatureFailed", Level = LogLevel.Debug, Message = "Feature '{feature}' failed; its fallback answers.")]
    public static partial void FeatureFailed(ILogger logger, string feature, Exception exception);

    [LoggerMessage(EventId = 4006, EventName = "TooManyFeaturesOff", Level = LogLevel.Warning, Message = "Pressure would switch off {wanted} features, MaxAutomaticOff is {limit}: the more important {spared} are degraded instead.")]
    public static partial void TooManyOff(ILogger logger, int wanted, int limit, int spared);

    [LoggerMessage(EventId = 4007, EventName = "OverrideEnded", Level = LogLevel.Information, Message = "The override of feature '{feature}' to {state} by {who} has ended after {duration}.")]
    public static partial void OverrideEnded(ILogger logger, string feature, FeatureState state, string who, TimeSpan duration);
}
