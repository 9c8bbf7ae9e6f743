namespace Resilience.Pools;

/// <summary>The pool drains or has been disposed: it leases nothing any more.</summary>
public sealed class PoolClosedException : PoolException
{
    internal PoolClosedException(string poolName)
        : base(poolName, $"Pool '{poolName}' is closed: the service is stopping or the pool was disposed. Do not start work that needs it any more.")
    {
    }
}
