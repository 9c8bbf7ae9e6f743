namespace Resilience.Context;

/// <summary>
/// What stays of an ended scope: its identifier for logs, the cause, and the way to a live ancestor. Somebody may hold it for ever, so it
/// is as small as it can be: a scope without a parent whose identifier nobody has read shares one object with all others of its kind, and
/// one whose identifier was made here keeps a number of it, in 24 bytes.
/// </summary>
internal abstract class EndedScope : ScopeRecord
{
    private static readonly EndedScope[] Shared = [.. Enum.GetValues<ScopeCause>().Select(static cause => new Nameless(cause))];

    /// <summary>The record of a scope that ends.</summary>
    /// <param name="parent">The nearest live scope around it.</param>
    /// <param name="id">Its identifier, if it was given one.</param>
    /// <param name="number">Its identifier's number, if it was made here; zero or <see cref="ScopeId.Sealed"/> if it was not.</param>
    /// <param name="cause">Why it ends.</param>
    public static EndedScope For(RequestScope? parent, string? id, long number, ScopeCause cause) =>
        parent is not null ? new Nested(parent, number > 0 ? null : id, number, cause)
        : number > 0 ? new Numbered(number, cause)
        : id is not null ? new Named(id, cause)
        : Shared[(int)cause];

    /// <summary>Shortens the way to a live ancestor.</summary>
    public virtual void SkipTo(RequestScope? ancestor)
    {
    }

    private sealed class Nameless(ScopeCause cause) : EndedScope
    {
        public override RequestScope? Parent => null;

        public override ScopeCause Cause { get; } = cause;

        public override string? GetId() => null;
    }

    private sealed class Numbered(long number, ScopeCause cause) : EndedScope
    {
        private const int CauseBits = 3;

        private readonly long _numberAndCause = (number << CauseBits) | (long)cause;

        public override RequestScope? Parent => null;

        public override ScopeCause Cause => (ScopeCause)(_numberAndCause & ((1 << CauseBits) - 1));

        public override string GetId() => ScopeId.Format(_numberAndCause >>> CauseBits);
    }

    private sealed class Named(string id, ScopeCause cause) : EndedScope
    {
        public override RequestScope? Parent => null;

        public override ScopeCause Cause { get; } = cause;

        public override string GetId() => id;
    }

    private sealed class Nested(RequestScope parent, string? id, long number, ScopeCause cause) : EndedScope
    {
        private RequestScope? _parent = parent;

        public override RequestScope? Parent => Volatile.Read(ref _parent);

        public override ScopeCause Cause { get; } = cause;

        public override string? GetId() => id ?? (number > 0 ? ScopeId.Format(number) : null);

        public override void SkipTo(RequestScope? ancestor) => Volatile.Write(ref _parent, ancestor);
    }
}
