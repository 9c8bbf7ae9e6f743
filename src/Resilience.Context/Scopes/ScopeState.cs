namespace Resilience.Context;

/// <summary>
/// All that a live scope carries. Made for one scope and never used again: whoever still reads it after the end reads that scope's own old
/// data. What few scopes need (token, children, owned things) is made when it is first asked for.
/// </summary>
internal sealed class ScopeState : ScopeRecord
{
    private readonly CancellationToken _aborted;
    private string? _id;
    private long _number;
    private object?[]? _items;
    private OwnedItem? _owned;
    private ScopeTokenSource? _source;
    private ChildScopes? _children;
    private int _cause;

    public ScopeState(RequestScope? parent, ScopeState? inherited, ScopeOptions options, (string? Text, long Number) id, CancellationToken aborted)
    {
        Parent = parent;
        (_id, _number) = id;
        Clock = options.TimeProvider ?? inherited?.Clock ?? TimeProvider.System;
        _aborted = aborted;
        _items = inherited?.Items;
        Monitor = options.Monitor ?? inherited?.Monitor ?? ScopeMonitor.Default;
        Priority = options.Priority ?? inherited?.Priority ?? Priority.Normal;
        IsLongLived = options.LongLived;
        SkipsStack = options.SkipStack;

        Deadline own = options.Timeout == Timeout.InfiniteTimeSpan ? options.Deadline
            : Deadline.Min(options.Deadline, Deadline.After(options.Timeout, Clock));
        Deadline outer = inherited?.Deadline ?? Deadline.None;
        Deadline = Deadline.Min(outer, own);
        IsCallerChosen = inherited is not null && inherited.IsCallerChosen && Deadline == outer;
        if (options.CallerTimeout != Timeout.InfiniteTimeSpan)
        {
            Deadline asked = Deadline.After(options.CallerTimeout, Clock);
            Deadline shorter = Deadline.Min(Deadline, asked);
            IsCallerChosen |= shorter != Deadline;
            Deadline = shorter;
        }
    }

    public override RequestScope? Parent { get; }

    public TimeProvider Clock { get; }

    public Deadline Deadline { get; }

    public ScopeMonitor Monitor { get; }

    public Priority Priority { get; }

    public bool IsCallerChosen { get; }

    public bool IsLongLived { get; }

    public bool SkipsStack { get; }

    /// <summary>When the scope began, in the monitor's coarse milliseconds; zero when nobody measures.</summary>
    public long Begun { get; set; }

    /// <summary>The leak detector's entry for the scope; written before the scope is seen by anybody else.</summary>
    public LeakSlot? Slot { get; set; }

    /// <summary>The scope's place among its parent's children; written before the scope is seen by anybody else.</summary>
    public LinkedListNode<RequestScope>? Place { get; set; }

    public object?[]? Items => Volatile.Read(ref _items);

    public override ScopeCause Cause
    {
        get
        {
            var cause = (ScopeCause)Volatile.Read(ref _cause);
            return cause != ScopeCause.None ? cause : FindCause();
        }
    }

    public void Set(ScopeKey key, object? value)
    {
        object?[]? seen = Items;
        while (true)
        {
            object?[]? prior = Interlocked.CompareExchange(ref _items, ScopeItems.With(seen, key, value), seen);
            if (ReferenceEquals(prior, seen))
            {
                return;
            }

            seen = prior;
        }
    }

    /// <summary>Takes over the values of a snapshot; only before the scope is used.</summary>
    public void Inherit(object?[] items) => Volatile.Write(ref _items, items);

    /// <summary>Adds to the things that the scope disposes; false when it has ended, in which case the thing has been or is being disposed.</summary>
    public bool TryOwn(RequestScope owner, IDisposable item)
    {
        var added = new OwnedItem(item);
        OwnedItem? top = Volatile.Read(ref _owned);
        while (true)
        {
            added.Next = top;
            OwnedItem? prior = Interlocked.CompareExchange(ref _owned, added, top);
            if (ReferenceEquals(prior, top))
            {
                break;
            }

            top = prior;
        }

        if (!owner.IsEnded)
        {
            return true;
        }

        DisposeOwned();
        return false;
    }

    /// <summary>Enters a child; false when the scope has ended.</summary>
    public bool TryAddChild(RequestScope owner, RequestScope child, ScopeState childState)
    {
        ChildScopes? children = Volatile.Read(ref _children);
        if (children is null)
        {
            var made = new ChildScopes();
            children = Interlocked.CompareExchange(ref _children, made, null) ?? made;
        }

        return children.TryAdd(child, childState) && !owner.IsEnded;
    }

    public void RemoveChild(ScopeState childState) => _children?.Remove(childState);

    public CancellationToken GetToken(RequestScope owner)
    {
        ScopeTokenSource? source = Volatile.Read(ref _source);
        return source is not null ? source.Token : MakeToken(owner);
    }

    /// <summary>Records why the scope is cancelled; the first cause stays.</summary>
    public bool Latch(ScopeCause cause) => Interlocked.CompareExchange(ref _cause, (int)cause, (int)ScopeCause.None) == (int)ScopeCause.None;

    /// <summary>Cancels the token, if anybody has asked for it. What its callbacks throw is counted and logged.</summary>
    public void CancelToken()
    {
        if (Volatile.Read(ref _source) is { } source)
        {
            CancelGuarded(source);
        }
    }

    public override string? GetId()
    {
        if (_id is { } text)
        {
            return text;
        }

        long number = GetNumber();

        // Two readers may both format; the texts are equal.
        return number == ScopeId.Sealed ? null : _id = ScopeId.Format(number);
    }

    /// <summary>What a child takes over: the number if there is one, which is smaller to keep than the text.</summary>
    public (string? Text, long Number) ShareId() =>
        _id is { } text && Volatile.Read(ref _number) <= 0 ? (text, 0) : (null, GetNumber());

    /// <summary>What stays of the scope. From here on no identifier is made: the record that follows has the one that was, or none that anybody has seen.</summary>
    public EndedScope Seal(ScopeCause cause, RequestScope? ancestor)
    {
        long number = Interlocked.CompareExchange(ref _number, ScopeId.Sealed, 0);
        return EndedScope.For(ancestor, _id, number, cause);
    }

    /// <summary>What the winner of the end does, once the scope no longer refers to this state. The order is the contract.</summary>
    /// <remarks>
    /// Ending exchanges the scope's record and then looks for token, children and owned things; making one of these publishes it here and
    /// then looks whether the scope has ended. Both sides put a full fence between (an interlocked operation), so at least one of them sees
    /// the other, and what both see is done once. That spares every scope without them three interlocked operations.
    /// </remarks>
    public void End()
    {
        if (Volatile.Read(ref _source) is { } source)
        {
            CancelGuarded(source);
            source.Unlink();
        }

        if (Parent?.State is { } parent)
        {
            parent.RemoveChild(this);
        }

        Monitor.Ended(this);
        if (Volatile.Read(ref _children) is { } children)
        {
            EndChildren(children);
        }

        DisposeOwned();
    }

    private long GetNumber()
    {
        long number = Volatile.Read(ref _number);
        if (number == 0)
        {
            long made = ScopeId.Next();
            number = Interlocked.CompareExchange(ref _number, made, 0);
            number = number == 0 ? made : number;
        }

        return number;
    }

    private void EndChildren(ChildScopes children)
    {
        int live = 0;
        foreach (RequestScope child in children.Close())
        {
            live += child.TryEnd(ScopeCause.Parent) ? 1 : 0;
        }

        if (live > 0)
        {
            Monitor.ChildrenEnded(this, live);
        }
    }

    private void DisposeOwned()
    {
        OwnedItem? item = Volatile.Read(ref _owned) is null ? null : Interlocked.Exchange(ref _owned, null);
        for (; item is not null; item = item.Next)
        {
            try
            {
                item.Value.Dispose();
            }
            catch (Exception exception)
            {
                // The others must be disposed too, and whoever ends a scope is not the one to handle this.
                Monitor.OwnedFailed(item.Value, exception);
            }
        }
    }

    private ScopeCause FindCause()
    {
        // Every cancel but the timer's records its cause first: a token that is cancelled without one was cancelled by its timer. The
        // clock is not asked, because a timer may fire a fraction of a millisecond before the clock says so.
        ScopeCause found = ScopeCause.None;
        if (Volatile.Read(ref _source) is { IsCancellationRequested: true })
        {
            found = ScopeCause.Deadline;
        }
        else if (_aborted.IsCancellationRequested)
        {
            found = ScopeCause.Client;
        }
        else if (Deadline.IsExpired)
        {
            found = ScopeCause.Deadline;
        }
        else if (Parent is { } parent && parent.Cause is var outer and not ScopeCause.None)
        {
            found = Inherit(outer);
        }

        if (found != ScopeCause.None)
        {
            Latch(found);
        }

        return (ScopeCause)Volatile.Read(ref _cause);
    }

    /// <summary>What a parent's cause means to its child. A child's deadline is never later than its parent's, so the parent's passing is its own.</summary>
    private static ScopeCause Inherit(ScopeCause parent) => parent == ScopeCause.Deadline ? ScopeCause.Deadline : ScopeCause.Parent;

    /// <summary>What the links call: the host's token or the parent's was cancelled.</summary>
    public void CancelFromLink(ScopeCause cause)
    {
        Latch(cause == ScopeCause.Client ? cause : Inherit(Parent?.Cause ?? ScopeCause.Parent));
        CancelToken();
    }

    private CancellationToken MakeToken(RequestScope owner)
    {
        ScopeTokenSource made = ScopeTokenSource.For(Deadline, Clock);
        ScopeTokenSource? prior = Interlocked.CompareExchange(ref _source, made, null);
        if (prior is not null)
        {
            // Nobody has its token: its timer may go.
            made.Dispose();
            return prior.Token;
        }

        made.Link(owner, Parent, _aborted);

        // Cancel records its cause, then looks for the source; the source was published before the cause is looked at here. One of the
        // two sees the other.
        if (Volatile.Read(ref _cause) != (int)ScopeCause.None)
        {
            CancelGuarded(made);
        }

        if (owner.IsEnded)
        {
            CancelGuarded(made);
            made.Unlink();
        }

        return made.Token;
    }

    private void CancelGuarded(ScopeTokenSource source)
    {
        try
        {
            source.Cancel();
        }
        catch (AggregateException exception)
        {
            // Callbacks of strangers; the rest of the end must still happen.
            Monitor.CallbackFailed(exception);
        }
    }

    /// <summary>One link of the stack of owned things.</summary>
    private sealed class OwnedItem(IDisposable value)
    {
        public IDisposable Value { get; } = value;

        public OwnedItem? Next { get; set; }
    }
}
