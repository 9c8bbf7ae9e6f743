namespace Resilience.Context;

/// <summary>
/// What stays of an ended scope: its identifier for logs, the cause, and the way to a live ancestor. A scope without a parent whose
/// identifier nobody has read shares one object with all others of its kind, so that it leaves nothing behind but its holder.
/// </summary>
internal sealed class EndedScope : ScopeRecord
{
    private static readonly EndedScope[] Shared = [.. Enum.GetValues<ScopeCause>().Select(cause => new EndedScope(null, null, ScopeId.Sealed, cause))];

    public EndedScope(RequestScope? parent, string? id, long number, ScopeCause cause)
        : base(parent, id, number)
    {
        Cause = cause;
    }

    public override ScopeCause Cause { get; }

    public static EndedScope For(RequestScope? parent, string? id, long number, ScopeCause cause) =>
        parent is null && id is null && number is 0 or ScopeId.Sealed ? Shared[(int)cause] : new EndedScope(parent, id, number, cause);
}
