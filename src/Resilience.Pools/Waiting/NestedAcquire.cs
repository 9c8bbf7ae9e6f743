namespace Resilience.Pools;

/// <summary>
/// What a flow holds: a chain of leases, newest first, in an AsyncLocal. A link says whether its lease still lives by asking the entry, so
/// that a return has nothing to undo. Only while nested acquires are looked for.
/// </summary>
internal sealed class NestedAcquire(object pool, NestedAcquire? outer)
{
    private static readonly AsyncLocal<NestedAcquire?> Ambient = new();

    private Func<bool>? _isHeld;

    /// <summary>Begins a lease in this flow; must run in the caller's own synchronous part.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="isNested">Whether the flow holds a lease of the same pool.</param>
    public static NestedAcquire Enter(object pool, out bool isNested)
    {
        NestedAcquire? living = Living(Ambient.Value);
        isNested = false;
        for (NestedAcquire? link = living; link is not null; link = Living(link.Outer))
        {
            isNested |= ReferenceEquals(link.Pool, pool);
        }

        var entered = new NestedAcquire(pool, living);
        Ambient.Value = entered;
        return entered;
    }

    private object Pool { get; } = pool;

    private NestedAcquire? Outer { get; } = outer;

    /// <summary>Says which lease it became.</summary>
    public void Holds(Func<bool> isHeld) => Volatile.Write(ref _isHeld, isHeld);

    private static NestedAcquire? Living(NestedAcquire? link)
    {
        while (link is not null && Volatile.Read(ref link._isHeld)?.Invoke() != true)
        {
            link = link.Outer;
        }

        return link;
    }
}
