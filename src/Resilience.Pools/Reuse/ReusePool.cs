using Microsoft.Extensions.ObjectPool;

namespace Resilience.Pools;

/// <summary>
/// Reuses objects that are cheap to make but costly to make often: buffers, builders, lists. It is <see cref="ObjectPool{T}"/> of
/// Microsoft.Extensions behind a lease with a version, so that the two usual mistakes, to return twice and to use after the return,
/// are caught instead of giving two callers one object. It bounds what is kept, not what is in use, and nobody waits.
/// </summary>
/// <typeparam name="T">The object.</typeparam>
/// <remarks>Thread-safe. An object that is never returned is left to the collector.</remarks>
public sealed class ReusePool<T>
    where T : class
{
    private readonly ObjectPool<Slot> _pool;
    private readonly Func<T, bool> _reset;

    /// <summary>Makes a pool.</summary>
    /// <param name="create">Makes an object.</param>
    /// <param name="reset">Makes a returned object as good as new; false drops it, because it has grown too large for example.</param>
    /// <param name="maxRetained">How many objects are kept; twice the processors when <see langword="null"/>. From 1.</param>
    public ReusePool(Func<T> create, Func<T, bool> reset, int? maxRetained = null)
    {
        ArgumentNullException.ThrowIfNull(create);
        ArgumentNullException.ThrowIfNull(reset);
        int most = maxRetained ?? Environment.ProcessorCount * 2;
        ArgumentOutOfRangeException.ThrowIfLessThan(most, 1, nameof(maxRetained));
        _reset = reset;
        _pool = new DefaultObjectPool<Slot>(new Policy(create), most);
    }

    /// <summary>Takes an object, a new one if none is kept.</summary>
    /// <returns>The lease; dispose it to give the object back.</returns>
    public ReuseLease<T> Rent()
    {
        Slot slot = _pool.Get();
        return new ReuseLease<T>(this, slot, Volatile.Read(ref slot.Version));
    }

    internal void Return(Slot slot, long version)
    {
        // Whoever moves the version on is the one who returns.
        if (Interlocked.CompareExchange(ref slot.Version, version + 1, version) == version && _reset(slot.Value))
        {
            _pool.Return(slot);
        }
    }

    internal sealed class Slot(T value)
    {
        public readonly T Value = value;
        public long Version;
    }

    private sealed class Policy(Func<T> create) : PooledObjectPolicy<Slot>
    {
        public override Slot Create() => new(create());

        public override bool Return(Slot obj) => true;
    }
}

/// <summary>The right to use one object of a <see cref="ReusePool{T}"/> until it is disposed; a second return does nothing.</summary>
/// <typeparam name="T">The object.</typeparam>
public readonly record struct ReuseLease<T> : IDisposable
    where T : class
{
    private readonly ReusePool<T>? _pool;
    private readonly ReusePool<T>.Slot? _slot;
    private readonly long _version;

    internal ReuseLease(ReusePool<T> pool, ReusePool<T>.Slot slot, long version)
    {
        _pool = pool;
        _slot = slot;
        _version = version;
    }

    /// <summary>The object. Do not keep it beyond the lease.</summary>
    /// <exception cref="ObjectDisposedException">It was returned already.</exception>
    public T Value => _slot is { } slot && Volatile.Read(ref slot.Version) == _version
        ? slot.Value
        : throw new ObjectDisposedException(typeof(T).Name, "The lease has ended; the object may be somebody else's by now.");

    /// <summary>Gives the object back. A second call does nothing.</summary>
    public void Dispose()
    {
        if (_slot is { } slot)
        {
            _pool!.Return(slot, _version);
        }
    }
}
