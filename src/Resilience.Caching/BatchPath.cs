namespace Resilience.Caching;

/// <summary>Batches.</summary>
internal sealed class BatchPath(CacheCore core, ReadPath reads, LoadPath loads)
{
    public CacheCore Core => core;

    public ReadPath Reads => reads;

    public LoadPath Loads => loads;
}
