using Resilience.Caching;

namespace Resilience.Incidents.Incidents.LostInvalidation;

/// <summary>The same cache-aside. A load that began before the removal may not store what it brings home.</summary>
internal sealed class WithKit(Prices prices, ResilientCache cache) : IPriceService
{
    private static readonly string[] Keys = [.. Enumerable.Range(0, Prices.Items).Select(static item => $"price:{item}")];

    public static void Configure(CacheOptions options)
    {
        options.Expiration = LostInvalidationIncident.Expiration;
        options.ReuseInstances = true;
    }

    public ValueTask<Price> GetAsync(int item, CancellationToken cancellationToken) =>
        cache.GetOrCreateAsync(Keys[item], (prices, item), static (at, token) => new ValueTask<Price>(at.prices.ReadAsync(at.item, token)), cancellationToken: cancellationToken);

    public async ValueTask<int> ChangeAsync(int item, CancellationToken cancellationToken)
    {
        int version = await prices.ChangeAsync(item, cancellationToken);
        await cache.RemoveAsync(Keys[item], cancellationToken);
        return version;
    }
}
