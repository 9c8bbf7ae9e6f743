namespace Resilience.Context;

/// <summary>
/// The source of a scope's token, with the links to what cancels it from outside. It is never pooled or reset, because its token is in
/// strange hands. It is cancelled at the end and not disposed: cancelling lets go of the timer, and a token of a disposed source throws.
/// </summary>
internal sealed class ScopeTokenSource : CancellationTokenSource
{
    /// <summary>The source of the token that every ended scope gives.</summary>
    public static readonly ScopeTokenSource Closed = MakeClosed();

    private const int Unlinked = 0;
    private const int Linked = 1;
    private const int Done = 2;

    private CancellationTokenRegistration _abortedLink;
    private CancellationTokenRegistration _parentLink;
    private int _links;

    private ScopeTokenSource()
    {
    }

    private ScopeTokenSource(TimeSpan delay, TimeProvider clock)
        : base(delay, clock)
    {
    }

    public static ScopeTokenSource For(Deadline deadline, TimeProvider clock)
    {
        if (deadline.IsNone)
        {
            return new ScopeTokenSource();
        }

        // Whole milliseconds, rounded up: the timer drops fractions, and a token must not be cancelled before its time.
        double milliseconds = Math.Ceiling(deadline.ExactRemaining.TotalMilliseconds);
        return milliseconds > uint.MaxValue - 1
            ? new ScopeTokenSource()
            : new ScopeTokenSource(TimeSpan.FromMilliseconds(milliseconds), deadline.Provider ?? clock);
    }

    /// <summary>Lets the host's token and the parent's cancel the scope. Neither link captures an execution context.</summary>
    public void Link(RequestScope owner, RequestScope? parent, CancellationToken aborted)
    {
        _abortedLink = aborted.UnsafeRegister(static scope => ((RequestScope)scope!).State?.CancelFromLink(ScopeCause.Client), owner);
        if (parent is not null)
        {
            _parentLink = parent.Token.UnsafeRegister(static scope => ((RequestScope)scope!).State?.CancelFromLink(ScopeCause.Parent), owner);
        }

        // The registrations are structs of two words: whoever reads them must know that they are whole.
        if (Interlocked.CompareExchange(ref _links, Linked, Unlinked) == Done)
        {
            Unregister();
        }
    }

    public void Unlink()
    {
        if (Interlocked.Exchange(ref _links, Done) == Linked)
        {
            Unregister();
        }
    }

    private void Unregister()
    {
        // Not Dispose, which waits for a callback that is running: the end of a scope may be called from one. What is unregistered still
        // refers to the source it was registered with, and strangers may keep this one for long.
        _abortedLink.Unregister();
        _parentLink.Unregister();
        _abortedLink = default;
        _parentLink = default;
    }

    private static ScopeTokenSource MakeClosed()
    {
        var source = new ScopeTokenSource();
        source.Cancel();
        return source;
    }
}
