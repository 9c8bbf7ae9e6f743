using Storefront.Orders;

namespace Storefront.Catalogue;

/// <summary>Where products live and orders go: in this process, or in PostgreSQL.</summary>
internal interface IShop
{
    /// <summary>A product, or <see langword="null"/> when there is none with this id.</summary>
    Task<Product?> FindAsync(int id, CancellationToken cancellationToken);

    /// <summary>Every id there is, for the guard in front of the cache.</summary>
    IAsyncEnumerable<int> IdsAsync(CancellationToken cancellationToken);

    /// <summary>Takes an order.</summary>
    /// <returns>Its number, or <see langword="null"/> when there is no such product.</returns>
    Task<long?> PlaceOrderAsync(OrderRequest order, CancellationToken cancellationToken);

    /// <summary>Gives a product a new price, and with it the next version.</summary>
    /// <returns>The product as it is now, or <see langword="null"/> when there is none with this id.</returns>
    Task<Product?> SetPriceAsync(int id, int priceCents, CancellationToken cancellationToken);

    /// <summary>What customers said about a product.</summary>
    Task<IReadOnlyList<string>> CommentsAsync(int id, CancellationToken cancellationToken);

    /// <summary>What others bought.</summary>
    Task<IReadOnlyList<int>> RecommendationsAsync(int id, CancellationToken cancellationToken);

    /// <summary>Writes a batch of the audit log, all of it or nothing.</summary>
    Task WriteAuditAsync(IReadOnlyList<AuditEntry> entries, CancellationToken cancellationToken);
}
