using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Resilience.Pools;
using Resilience.Settings;
using Storefront.Orders;

namespace Storefront.Catalogue;

/// <summary>The shop in this process: every query runs on a leased connection and takes its time.</summary>
internal sealed class InProcessShop([FromKeyedServices(InProcessShop.Pool)] ResourcePool<ShopConnection> pool, LiveSettings<CatalogueSettings> settings) : IShop
{
    public const string Pool = "shop";

    private readonly ConcurrentDictionary<int, Product> _repriced = new();
    private long _orders;
    private long _audited;

    /// <summary>How many lines of the audit log were written.</summary>
    public long Audited => Interlocked.Read(ref _audited);

    public async Task<Product?> FindAsync(int id, CancellationToken cancellationToken)
    {
        await QueryAsync(cancellationToken);
        return Exists(id) ? _repriced.GetValueOrDefault(id) ?? ProductMaker.Make(id) : null;
    }

    public async IAsyncEnumerable<int> IdsAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await QueryAsync(cancellationToken);
        for (int id = 0; id < settings.Current.Products; id++)
        {
            yield return id;
        }
    }

    public async Task<long?> PlaceOrderAsync(OrderRequest order, CancellationToken cancellationToken)
    {
        await QueryAsync(cancellationToken);
        return Exists(order.ProductId) ? Interlocked.Increment(ref _orders) : null;
    }

    public async Task<Product?> SetPriceAsync(int id, int priceCents, CancellationToken cancellationToken)
    {
        await QueryAsync(cancellationToken);
        return Exists(id)
            ? _repriced.AddOrUpdate(id, static (id, price) => Repriced(ProductMaker.Make(id), price), static (_, product, price) => Repriced(product, price), priceCents)
            : null;
    }

    public Task<IReadOnlyList<string>> CommentsAsync(int id, CancellationToken cancellationToken) =>
        Task.FromResult(ProductMaker.Comments(id));

    public Task<IReadOnlyList<int>> RecommendationsAsync(int id, CancellationToken cancellationToken) =>
        Task.FromResult(ProductMaker.Recommendations(id, settings.Current.Products));

    public async Task WriteAuditAsync(IReadOnlyList<AuditEntry> entries, CancellationToken cancellationToken)
    {
        await QueryAsync(cancellationToken);
        Interlocked.Add(ref _audited, entries.Count);
    }

    private static Product Repriced(Product product, int priceCents) => product with { PriceCents = priceCents, Version = product.Version + 1 };

    private bool Exists(int id) => id >= 0 && id < settings.Current.Products;

    private ValueTask QueryAsync(CancellationToken cancellationToken) =>
        pool.RunAsync(static (connection, _, ct) => connection.QueryAsync(ct), 0, cancellationToken);
}
