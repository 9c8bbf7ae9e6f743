namespace Resilience.Pools;

/// <summary>A pool could not do what it was asked for. The derived types say why.</summary>
public abstract class PoolException : Exception
{
    private protected PoolException(string poolName, string message, Exception? innerException = null)
        : base(message, innerException) => PoolName = poolName;

    /// <summary>The name of the pool.</summary>
    public string PoolName { get; }
}
