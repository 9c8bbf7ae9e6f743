using System.Diagnostics.CodeAnalysis;

namespace Resilience.Context;

/// <summary>The name under which a scope carries a value, and where the value may go. Make one per kind of value and keep it in a static field.</summary>
/// <remarks>Keys are compared by reference. Immutable and thread-safe.</remarks>
public abstract class ScopeKey
{
    private protected ScopeKey(string name, ScopeFlow flow, Type type)
    {
        if (!ScopeId.IsValid(name))
        {
            throw new ArgumentException($"The name of a scope key must be one to {ScopeId.MaximumLength} letters, digits, dots, underscores or hyphens.", nameof(name));
        }

        if (flow.HasFlag(ScopeFlow.Sensitive) && flow.HasFlag(ScopeFlow.Propagate))
        {
            throw new ArgumentException($"Scope key '{name}': what is sensitive is never sent; drop Sensitive or Propagate.", nameof(flow));
        }

        if (flow.HasFlag(ScopeFlow.Detach) && RequestBound.IsHeldType(type))
        {
            throw new ArgumentException($"Scope key '{name}': a {type.Name} belongs to its request and cannot go into background work; drop Detach, or keep plain values.", nameof(flow));
        }

        Name = name;
        Flow = flow;
    }

    /// <summary>The name; also the name of the baggage member when the value is sent.</summary>
    public string Name { get; }

    /// <summary>Where the value may go.</summary>
    public ScopeFlow Flow { get; }

    /// <summary>The name; never a value.</summary>
    public override string ToString() => Name;

    /// <summary>The value as it is sent.</summary>
    internal abstract string? Write(object? value);

    /// <summary>The value as it was received.</summary>
    internal abstract bool TryRead(string text, [NotNullWhen(true)] out object? value);
}

/// <summary>A <see cref="ScopeKey"/> for values of one type.</summary>
/// <typeparam name="T">The type of the value. Prefer immutable ones: the value is shared by everything that runs for the request.</typeparam>
public sealed class ScopeKey<T> : ScopeKey
{
    private readonly Func<T, string>? _write;
    private readonly Func<string, T>? _read;

    /// <summary>Makes a key.</summary>
    /// <param name="name">One to 128 letters, digits, dots, underscores or hyphens.</param>
    /// <param name="flow">Where the value may go; nowhere by default.</param>
    /// <exception cref="ArgumentException">
    /// The name is not allowed; the value is both sensitive and to be sent; it is to be sent and is no string; or it is to be detached and
    /// the type belongs to its request.
    /// </exception>
    public ScopeKey(string name, ScopeFlow flow = ScopeFlow.None)
        : base(name, flow, typeof(T))
    {
        if (flow.HasFlag(ScopeFlow.Propagate) && typeof(T) != typeof(string))
        {
            throw new ArgumentException($"Scope key '{name}': only strings are sent as they are; say how to write and read a {typeof(T).Name}.", nameof(flow));
        }
    }

    /// <summary>Makes a key whose value is sent in a text form of its own.</summary>
    /// <param name="name">One to 128 letters, digits, dots, underscores or hyphens.</param>
    /// <param name="flow">Where the value may go.</param>
    /// <param name="write">Writes the value; characters that a header cannot hold are escaped afterwards.</param>
    /// <param name="read">Reads it; throws <see cref="FormatException"/> or <see cref="OverflowException"/> for text that is none.</param>
    /// <exception cref="ArgumentException">As for the other constructor.</exception>
    public ScopeKey(string name, ScopeFlow flow, Func<T, string> write, Func<string, T> read)
        : base(name, flow, typeof(T))
    {
        ArgumentNullException.ThrowIfNull(write);
        ArgumentNullException.ThrowIfNull(read);
        _write = write;
        _read = read;
    }

    internal override string? Write(object? value) =>
        value is not T typed ? null : _write is null ? typed as string : _write(typed);

    internal override bool TryRead(string text, [NotNullWhen(true)] out object? value)
    {
        if (_read is null)
        {
            value = text;
            return true;
        }

        try
        {
            value = _read(text);
            return value is not null;
        }
        catch (Exception exception) when (exception is FormatException or OverflowException or ArgumentException)
        {
            // Text from outside that is no value: as if it had not been sent.
            value = null;
            return false;
        }
    }
}
