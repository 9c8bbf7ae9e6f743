using System.Runtime.CompilerServices;

namespace Resilience.Pools;

/// <summary>
/// The right to use one resource of a pool until it is disposed. It is a number and a reference: a second return, of this value or a
/// copy of it, does nothing but count, and a lease whose resource was taken away refuses to hand it out.
/// </summary>
/// <typeparam name="T">The resource.</typeparam>
/// <remarks>
/// Returning never waits, and is safe from any thread. The lease guards the way to the resource and not the object itself: whoever keeps
/// the object beyond the lease shares it with the next holder. The default value is no lease: its resource throws, its return does nothing.
/// </remarks>
public readonly struct PoolLease<T> : IDisposable, IAsyncDisposable, IEquatable<PoolLease<T>>
    where T : class
{
    private readonly PoolEntry<T>? _entry;
    private readonly long _version;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal PoolLease(PoolEntry<T> entry, long version)
    {
        _entry = entry;
        _version = version;
    }

    internal void Deconstruct(out PoolEntry<T> entry, out long version) => (entry, version) = (_entry!, _version);

    /// <summary>The resource.</summary>
    /// <exception cref="PoolLeaseExpiredException">It was returned already, or reclaimed because it was held too long.</exception>
    public T Resource => ResourceOrNull ?? throw new PoolLeaseExpiredException(_entry?.Pool.Name);

    /// <summary>The resource; <see langword="null"/> once the lease has ended, which a reclaim may do at any moment.</summary>
    internal T? ResourceOrNull
    {
        get
        {
            if (_entry is { } entry)
            {
                // The resource is read before the word: an entry that still carries this lease afterwards had this resource all along.
                T? resource = Volatile.Read(ref entry.Resource);
                if (resource is not null && EntryWord.IsLeased(entry.ReadWord(), _version))
                {
                    return resource;
                }
            }

            return null;
        }
    }

    /// <summary>Whether the lease still holds its resource.</summary>
    public bool IsValid => _entry is { } entry && EntryWord.IsLeased(entry.ReadWord(), _version);

    /// <summary>Says that the resource is broken: it will be destroyed when it is returned. Does nothing once the lease has ended.</summary>
    public void Invalidate() => _entry?.MarkInvalid(_version);

    /// <summary>
    /// Tells the pool what went wrong while the resource was used. If the factory calls it fatal, the resource is destroyed when it is
    /// returned and the idle ones are validated before their next use.
    /// </summary>
    /// <param name="exception">What was thrown.</param>
    /// <returns>Whether it was fatal.</returns>
    public bool Report(Exception exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        return _entry is { } entry && entry.Pool.ReportFailure(entry, _version, exception);
    }

    /// <summary>Returns the resource. Never throws, never waits; a second call does nothing but count.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Dispose() => _entry?.Pool.Return(_entry, _version);

    /// <summary>The same as <see cref="Dispose"/>; it has completed when it returns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ValueTask DisposeAsync()
    {
        _entry?.Pool.Return(_entry, _version);
        return default;
    }

    /// <inheritdoc/>
    public bool Equals(PoolLease<T> other) => ReferenceEquals(_entry, other._entry) && _version == other._version;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is PoolLease<T> other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_entry, _version);

    /// <summary>Whether two values are the same lease.</summary>
    public static bool operator ==(PoolLease<T> left, PoolLease<T> right) => left.Equals(right);

    /// <summary>Whether two values are different leases.</summary>
    public static bool operator !=(PoolLease<T> left, PoolLease<T> right) => !left.Equals(right);
}
