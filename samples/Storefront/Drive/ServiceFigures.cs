namespace Storefront.Drive;

/// <summary>What the service itself counts, in one reading.</summary>
internal readonly record struct ServiceFigures(long LocalHits, long SharedHits, long SourceLoads, long StaleServed, int PoolInUse, int PoolMaxInUse, int PoolWaiting);
