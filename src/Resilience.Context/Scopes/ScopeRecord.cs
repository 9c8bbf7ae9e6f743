namespace Resilience.Context;

/// <summary>What hangs on the one reference of a scope: its state while it lives, a few bytes once it has ended.</summary>
internal abstract class ScopeRecord
{
    /// <summary>The scope around this one.</summary>
    public abstract RequestScope? Parent { get; }

    public abstract ScopeCause Cause { get; }

    /// <summary>The identifier, made if this is the first to ask.</summary>
    /// <returns>Nothing when the scope was about to end, or ended, before anybody had asked: read the scope's record again.</returns>
    public abstract string? GetId();
}
