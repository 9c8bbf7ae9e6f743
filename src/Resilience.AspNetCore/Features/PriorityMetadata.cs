using Resilience.Context;

namespace Resilience.AspNetCore;

/// <summary>How much the requests of an endpoint matter; read by admission and by the request scope.</summary>
public interface IPriorityMetadata
{
    /// <summary>The priority.</summary>
    Priority Priority { get; }
}

/// <summary>Says how much the requests of a controller, an action or an endpoint matter.</summary>
/// <param name="priority">The priority.</param>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
public sealed class RequestPriorityAttribute(Priority priority) : Attribute, IPriorityMetadata
{
    /// <inheritdoc/>
    public Priority Priority { get; } = priority;
}
