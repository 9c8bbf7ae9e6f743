namespace Resilience.Context;

/// <summary>What hangs on the one reference of a scope: its state while it lives, a few bytes once it has ended.</summary>
internal abstract class ScopeRecord
{
    private string? _id;
    private long _number;
    private RequestScope? _parent;

    protected ScopeRecord(RequestScope? parent, string? id, long number)
    {
        _parent = parent;
        _id = id;
        _number = number;
    }

    /// <summary>The scope around this one. It may be replaced by a live ancestor once it has ended; nothing else changes it.</summary>
    public RequestScope? Parent
    {
        get => Volatile.Read(ref _parent);
        set => Volatile.Write(ref _parent, value);
    }

    public abstract ScopeCause Cause { get; }

    /// <summary>The identifier's text, if it has been given or read.</summary>
    protected string? IdText => _id;

    /// <summary>The identifier, made if this is the first to ask.</summary>
    /// <returns>Nothing when the scope was about to end before anybody had asked: read the scope's record again.</returns>
    public string? GetId()
    {
        if (_id is { } text)
        {
            return text;
        }

        long number = GetNumber();

        // Two readers may both format; the texts are equal.
        return number == ScopeId.Sealed ? null : _id = ScopeId.Format(number);
    }

    /// <summary>What a child takes over.</summary>
    public (string? Text, long Number) ShareId() => _id is { } text ? (text, 0) : (null, GetNumber());

    /// <summary>Closes the making of an identifier, so that the record that follows has the same one, or none that anybody has seen.</summary>
    protected (string? Text, long Number) SealId()
    {
        long number = Interlocked.CompareExchange(ref _number, ScopeId.Sealed, 0);
        return (_id, number);
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
}
