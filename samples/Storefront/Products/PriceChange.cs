namespace Storefront.Products;

/// <summary>What a product shall cost from now on.</summary>
internal sealed record PriceChange(int PriceCents);
