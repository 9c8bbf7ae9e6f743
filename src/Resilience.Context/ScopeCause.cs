namespace Resilience.Context;

/// <summary>Why a scope's token was cancelled, or why the scope has ended.</summary>
public enum ScopeCause
{
    /// <summary>Nothing has happened: the scope is live and its token is not cancelled.</summary>
    None = 0,

    /// <summary>The scope was ended by its owner; the normal case.</summary>
    Ended = 1,

    /// <summary>The caller has gone: the host's token, or the one given in <see cref="ScopeOptions.Aborted"/>, was cancelled.</summary>
    Client = 2,

    /// <summary>The deadline has passed.</summary>
    Deadline = 3,

    /// <summary>The process is stopping.</summary>
    Shutdown = 4,

    /// <summary>The parent was cancelled or has ended.</summary>
    Parent = 5,

    /// <summary>Nobody ended the scope and the leak detector did.</summary>
    Expired = 6,
}
