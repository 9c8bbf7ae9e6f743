namespace Resilience.Caching.Local;

/// <summary>The engine of a local tier.</summary>
public enum LocalEngine
{
    /// <summary>
    /// Microsoft.Extensions.Caching.Memory: <see cref="Microsoft.Extensions.Caching.Memory.MemoryCache"/>. At its size limit it refuses new entries
    /// until it has compacted itself. For applications whose libraries share one <see cref="Microsoft.Extensions.Caching.Memory.IMemoryCache"/> with one bound.
    /// </summary>
    Memory,

    /// <summary>S3-FIFO, the default: lock-free hits, no insert dropped, resistant to scans.</summary>
    S3Fifo,
}
