using Resilience.Caching;

namespace Resilience.Incidents.Incidents.Avalanche;

/// <summary>
/// The kit's cache: expiries are drawn apart, a page is refreshed in the background before it expires, one load a page, and no more than
/// eight loads at a time for all pages together; whoever would wait longer than a moment gets the copy that has just expired.
/// </summary>
internal sealed class WithKit(Catalogue catalogue, ResilientCache cache) : IProductPages
{
    public static void Configure(CacheOptions options)
    {
        options.Expiration = Catalogue.Expiration;
        options.Jitter = 0.2;
        options.EagerRefresh = 0.7;
        options.SoftTimeout = TimeSpan.FromMilliseconds(20);
        options.LoadTimeout = TimeSpan.FromSeconds(5);
        options.MaxConcurrentLoads = 8;
        options.ReuseInstances = true;
    }

    public async ValueTask WarmUpAsync(CancellationToken cancellationToken)
    {
        for (int id = 0; id < Catalogue.Products; id++)
        {
            await cache.SetAsync(Catalogue.Key(id), Catalogue.Make(id), cancellationToken: cancellationToken);
        }
    }

    public ValueTask<Product> GetAsync(int id, CancellationToken cancellationToken) =>
        cache.GetOrCreateAsync(Catalogue.Key(id), (catalogue, id), static (at, token) => new ValueTask<Product>(at.catalogue.ReadAsync(at.id, token)), cancellationToken: cancellationToken);
}
