using Resilience.Caching;

namespace Resilience.Incidents.Incidents.Breakdown;

/// <summary>One flight for the key, begun in the background before the copy expires.</summary>
internal sealed class WithKit(FrontPage page, ResilientCache cache) : IFrontPage
{
    public static void Configure(CacheOptions options)
    {
        options.Expiration = FrontPage.Expiration;
        options.EagerRefresh = 0.7;
        options.ReuseInstances = true;
    }

    public ValueTask<BestSellers> GetAsync(CancellationToken cancellationToken) =>
        cache.GetOrCreateAsync(FrontPage.Key, page, static (page, token) => new ValueTask<BestSellers>(page.ReadAsync(token)), cancellationToken: cancellationToken);
}
