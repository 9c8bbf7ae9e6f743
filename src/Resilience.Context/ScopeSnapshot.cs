using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace Resilience.Context;

/// <summary>
/// What background work may take along of a request: identifier, trace, priority, a deadline of its own, and the values whose keys have
/// <see cref="ScopeFlow.Detach"/>. It refers to nothing that lives only as long as the request. Immutable and thread-safe.
/// </summary>
public sealed class ScopeSnapshot
{
    private readonly object?[]? _items;

    internal ScopeSnapshot(string id, ActivityContext trace, Priority priority, Deadline deadline, object?[]? items)
    {
        Id = id;
        Trace = trace;
        Priority = priority;
        Deadline = deadline;
        _items = items;
    }

    /// <summary>The identifier of the request.</summary>
    public string Id { get; }

    /// <summary>The trace that the request belonged to, for a link; the default when it was not traced.</summary>
    public ActivityContext Trace { get; }

    /// <summary>How much the work matters.</summary>
    public Priority Priority { get; }

    /// <summary>When the work must be done; counted from the moment of detaching.</summary>
    public Deadline Deadline { get; }

    internal object?[]? Items => _items;

    /// <summary>A snapshot for work that no request asked for.</summary>
    /// <param name="timeout">How long the work may take from now, waiting in a queue included; positive and finite.</param>
    /// <param name="priority">How much the work matters; <see cref="Priority.Normal"/> by default.</param>
    /// <param name="timeProvider">The clock; the system's by default.</param>
    /// <exception cref="ArgumentOutOfRangeException">The timeout is not positive, or infinite.</exception>
    public static ScopeSnapshot Create(TimeSpan timeout, Priority priority = Priority.Normal, TimeProvider? timeProvider = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero);
        return new ScopeSnapshot(ScopeId.Format(ScopeId.Next()), Activity.Current?.Context ?? default, priority, Deadline.After(timeout, timeProvider), null);
    }

    /// <summary>The value under a key; the type's default when there is none.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    public T? Get<T>(ScopeKey<T> key) => TryGet(key, out T? value) ? value : default;

    /// <summary>Looks for the value under a key.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="value">The value; the type's default when the answer is false.</param>
    public bool TryGet<T>(ScopeKey<T> key, [MaybeNullWhen(false)] out T value)
    {
        ArgumentNullException.ThrowIfNull(key);
        bool isFound = ScopeItems.TryGet(_items, key, out object? found);
        value = isFound ? (T)found! : default;
        return isFound;
    }

    /// <summary>Begins a scope with no parent that carries what the snapshot holds, in a flow that belongs to no request.</summary>
    /// <param name="monitor">What watches the scope; <see cref="ScopeMonitor.Default"/> when <see langword="null"/>.</param>
    /// <returns>The scope; dispose it where the work ends.</returns>
    /// <remarks>Any scope that is current in this flow is not its parent: the work outlives the request that asked for it.</remarks>
    public RequestScope Begin(ScopeMonitor? monitor = null)
    {
        RequestScope.Exchange(null);
        RequestScope scope = RequestScope.Begin(new ScopeOptions { Id = Id, Deadline = Deadline, Priority = Priority, Monitor = monitor, TimeProvider = Deadline.Provider });
        if (scope.State is { } state && _items is not null)
        {
            state.Inherit(_items);
        }

        return scope;
    }
}
