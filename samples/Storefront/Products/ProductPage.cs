using Storefront.Catalogue;

namespace Storefront.Products;

/// <summary>What a visitor sees. <paramref name="Degraded"/> names the parts that were left out or simplified on purpose.</summary>
internal sealed record ProductPage(Product Product, IReadOnlyList<int> Recommendations, IReadOnlyList<string> Comments, IReadOnlyList<string> Degraded);
