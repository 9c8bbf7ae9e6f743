namespace Resilience.Context;

/// <summary>Where the value of a <see cref="ScopeKey{T}"/> may go besides child scopes, which always inherit.</summary>
[Flags]
public enum ScopeFlow
{
    /// <summary>Nowhere.</summary>
    None = 0,

    /// <summary>Over the wire, to services called through a client with scope propagation.</summary>
    Propagate = 1,

    /// <summary>Into background work, with the snapshot that <see cref="RequestScope.Detach"/> takes.</summary>
    Detach = 2,

    /// <summary>Never logged, sent or reported. Excludes <see cref="Propagate"/>.</summary>
    Sensitive = 4,
}
