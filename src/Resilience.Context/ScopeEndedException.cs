namespace Resilience.Context;

/// <summary>Something was written to a request scope that has ended.</summary>
public sealed class ScopeEndedException : InvalidOperationException
{
    /// <summary>Makes one without details.</summary>
    public ScopeEndedException()
        : this("The request scope has ended.")
    {
    }

    /// <summary>Makes one without details.</summary>
    /// <param name="message">What happened.</param>
    public ScopeEndedException(string message)
        : base(message)
    {
    }

    /// <summary>Makes one without details.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="innerException">The cause.</param>
    public ScopeEndedException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    internal ScopeEndedException(string scopeId, ScopeCause cause, string action)
        : base($"Request scope '{scopeId}' has ended ({cause}), so {action} is not possible. Work that outlives its request needs a snapshot: take RequestScope.Detach() while the request runs.")
    {
        ScopeId = scopeId;
        Cause = cause;
    }

    /// <summary>The scope's identifier.</summary>
    public string? ScopeId { get; }

    /// <summary>Why it ended.</summary>
    public ScopeCause Cause { get; }
}
