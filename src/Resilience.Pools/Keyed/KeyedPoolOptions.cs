namespace Resilience.Pools;

/// <summary>The settings of a <see cref="KeyedResourcePool{TKey, T}"/>. Not thread-safe; the pool takes a copy.</summary>
public sealed class KeyedPoolOptions
{
    /// <summary>The settings of each key's pool; its <see cref="PoolOptions.MaxSize"/> is the bound per key. Defaults by default.</summary>
    public PoolOptions PerKey { get; set; } = new();

    /// <summary>The most resources of all keys together, from 1. Default 100. A key that wants one when all are taken gets the place of another key's idle one, or the next that comes back.</summary>
    public int MaxTotal { get; set; } = 100;

    /// <summary>How long nobody may have asked for a key, and nobody hold a lease of it, before it is forgotten and its idle resources are destroyed. Default 5 minutes, from 10 ms.</summary>
    public TimeSpan KeyIdleTimeout { get; set; } = TimeSpan.FromMinutes(5);
}
