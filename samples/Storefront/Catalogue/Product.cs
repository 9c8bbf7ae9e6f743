using System.ComponentModel;

namespace Storefront.Catalogue;

/// <summary>A product as the shop sells it. Immutable, and says so, which lets the cache hand out one instance to everybody.</summary>
[ImmutableObject(true)]
internal sealed record Product(int Id, string Name, int PriceCents, int Version);
