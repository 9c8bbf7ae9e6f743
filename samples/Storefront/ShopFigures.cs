using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching;
using Resilience.Pools;
using Storefront.Catalogue;
using Storefront.Drive;
using Storefront.Products;

namespace Storefront;

/// <summary>What the shop's cache and pool have counted, for the table and the summary.</summary>
internal sealed class ShopFigures([FromKeyedServices(ProductPages.Cache)] HybridCache cache, IEnumerable<IResourcePool> pools)
{
    private readonly IResourcePool _pool = pools.Single(pool => pool.Name == InProcessShop.Pool);
    private int _peak;

    /// <summary>Notes how many connections are out now; the greatest number noted is the peak.</summary>
    public void Sample()
    {
        int leased = _pool.Snapshot().Leased;
        if (leased > _peak)
        {
            _peak = leased;
        }
    }

    public ServiceFigures Read()
    {
        CacheSnapshot counted = ((ResilientCache)cache).Snapshot();
        PoolSnapshot pool = _pool.Snapshot();
        return new ServiceFigures(counted.LocalHits, counted.SharedHits, counted.SourceLoads, counted.StaleServed, pool.Leased, _peak, pool.Waiting);
    }
}
