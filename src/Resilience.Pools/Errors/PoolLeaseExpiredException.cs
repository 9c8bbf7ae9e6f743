namespace Resilience.Pools;

/// <summary>The lease has ended: it was returned, or taken away because it was held beyond the leak threshold.</summary>
public sealed class PoolLeaseExpiredException : PoolException
{
    internal PoolLeaseExpiredException(string? poolName)
        : base(poolName ?? "", poolName is null
            ? "This is not a lease of any pool, but the default value of its type."
            : $"The lease of a resource of pool '{poolName}' has ended: it was returned, or reclaimed because it was held beyond LeakThreshold. Do not keep a lease or its resource beyond its disposal.")
    {
    }
}
