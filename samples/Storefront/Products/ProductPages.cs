using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Degrade;
using Storefront.Catalogue;

namespace Storefront.Products;

/// <summary>Puts a product page together: the product must be there, the rest is there when it can be.</summary>
internal sealed class ProductPages([FromKeyedServices(ProductPages.Cache)] HybridCache cache, IShop shop, IDegradation degradation)
{
    /// <summary>The name of the cache, and of its section under <c>Resilience:Caches</c>.</summary>
    public const string Cache = "products";

    /// <summary>What most visitors buy; shown where nothing better can be said at the moment.</summary>
    private static readonly int[] TopSellers = [1, 2, 3, 4, 5];

    /// <summary>The key of a product in the cache, and so in its guard.</summary>
    public static string KeyOf(int id) => $"product:{id}";

    public async ValueTask<ProductPage?> FindAsync(int id, CancellationToken cancellationToken)
    {
        Product? product = await cache.GetOrCreateAsync(
            KeyOf(id),
            (shop, id),
            static (source, ct) => new ValueTask<Product?>(source.shop.FindAsync(source.id, ct)),
            cancellationToken: cancellationToken);
        if (product is null)
        {
            return null;
        }

        (IReadOnlyList<int> recommendations, bool simplified) = await RecommendationsAsync(id, cancellationToken);
        (IReadOnlyList<string> comments, bool left) = await CommentsAsync(id, cancellationToken);
        IReadOnlyList<string> degraded = (simplified, left) switch
        {
            (false, false) => [],
            (true, false) => [Features.Recommendations.Name],
            (false, true) => [Features.Comments.Name],
            _ => [Features.Recommendations.Name, Features.Comments.Name],
        };
        return new ProductPage(product, recommendations, comments, degraded);
    }

    /// <summary>Changes a price; when this has returned, no page shows an older one.</summary>
    public async Task<Product?> SetPriceAsync(int id, int priceCents, CancellationToken cancellationToken)
    {
        try
        {
            return await shop.SetPriceAsync(id, priceCents, cancellationToken);
        }
        finally
        {
            // In any case: when the connection broke after the commit, the change has failed for the caller and the price is new all the same.
            await cache.RemoveAsync(KeyOf(id), CancellationToken.None);
        }
    }

    private ValueTask<(IReadOnlyList<int> Ids, bool Degraded)> RecommendationsAsync(int id, CancellationToken cancellationToken) =>
        degradation.RunAsync(
            Features.Recommendations,
            static async (source, ct) => (await source.shop.RecommendationsAsync(source.id, ct), false),
            static (_, _) => ValueTask.FromResult(((IReadOnlyList<int>)TopSellers, true)),
            (shop, id),
            cancellationToken: cancellationToken);

    private ValueTask<(IReadOnlyList<string> Comments, bool Degraded)> CommentsAsync(int id, CancellationToken cancellationToken) =>
        degradation.RunAsync(
            Features.Comments,
            static async (source, ct) => (await source.shop.CommentsAsync(source.id, ct), false),
            static (_, _) => ValueTask.FromResult(((IReadOnlyList<string>)[], true)),
            (shop, id),
            cancellationToken: cancellationToken);
}
