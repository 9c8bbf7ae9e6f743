namespace Resilience.AspNetCore;

/// <summary>Says that the requests of a controller, an action or an endpoint are always admitted.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
public sealed class BypassAdmissionAttribute : Attribute;
