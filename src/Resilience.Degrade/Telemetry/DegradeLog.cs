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

    [LoggerMessage(EventId = 4020, EventName = "PressureChanged", Level = LogLevel.Warning, Message = "Pressure goes from {before} to {after}; loudest signal: '{signal}'.")]
    public static partial void PressureChanged(ILogger logger, PressureLevel before, PressureLevel after, string signal);

    [LoggerMessage(EventId = 4021, EventName = "SignalFailed", Level = LogLevel.Error, Message = "Signal '{signal}' cannot be read; its level stays as it is. Told once until it can be read again.")]
    public static partial void SignalFailed(ILogger logger, string signal, Exception exception);

    [LoggerMessage(EventId = 4022, EventName = "SamplingFailed", Level = LogLevel.Error, Message = "A sample of the pressure failed.")]
    public static partial void SamplingFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventId = 4023, EventName = "MemoryRelief", Level = LogLevel.Warning, Message = "Memory presses at {share:P0} and has not fallen for {duration}: one garbage collection is asked for.")]
    public static partial void MemoryRelief(ILogger logger, double share, TimeSpan duration);

    [LoggerMessage(EventId = 4024, EventName = "MemoryStuck", Level = LogLevel.Error, Message = "Memory stays at {share:P0} after a garbage collection: the process is unhealthy and needs a restart or a higher limit. Shedding eases by one level.")]
    public static partial void MemoryStuck(ILogger logger, double share);

    [LoggerMessage(EventId = 4010, EventName = "OverrideIssued", Level = LogLevel.Warning, Message = "Feature '{feature}' is overridden from {before} to {state} by {who} for {ttl}: {reason}")]
    public static partial void OverrideIssued(ILogger logger, string feature, FeatureState before, string state, string who, TimeSpan ttl, string reason);

    [LoggerMessage(EventId = 4011, EventName = "OverrideRejected", Level = LogLevel.Warning, Message = "An override {where} was not accepted: {problem}.")]
    public static partial void OverrideRejected(ILogger logger, string where, string problem);

    [LoggerMessage(EventId = 4012, EventName = "OverrideNotShared", Level = LogLevel.Error, Message = "The override of feature '{feature}' holds on this node only: the store could not keep it. It is shared when the store is back, unless something newer came.")]
    public static partial void OverrideNotShared(ILogger logger, string feature, Exception exception);

    [LoggerMessage(EventId = 4013, EventName = "OverrideStoreLost", Level = LogLevel.Warning, Message = "The store of overrides is lost; what is in force stays. Told once until it is back.")]
    public static partial void OverrideStoreLost(ILogger logger, Exception exception);

    [LoggerMessage(EventId = 4014, EventName = "AuditFailed", Level = LogLevel.Error, Message = "The audit of an override of feature '{feature}' could not be written; it does less, so it takes effect all the same.")]
    public static partial void AuditFailed(ILogger logger, string feature, Exception exception);

    [LoggerMessage(EventId = 4015, EventName = "OverrideCopyFailed", Level = LogLevel.Warning, Message = "The last known overrides cannot be written to this node's disk: a restart while the store is away would lose them. Told once until they can.")]
    public static partial void OverrideCopyFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventId = 4016, EventName = "OverrideShared", Level = LogLevel.Information, Message = "The override of feature '{feature}' by {who}, which held on this node only, is in the store now.")]
    public static partial void OverrideShared(ILogger logger, string feature, string who);

    [LoggerMessage(EventId = 4025, EventName = "SignalUnknown", Level = LogLevel.Warning, Message = "{path} names signal '{name}', which is not there: it never presses. There are '{signals}'.")]
    public static partial void SignalUnknown(ILogger logger, string path, string name, string signals);
}
