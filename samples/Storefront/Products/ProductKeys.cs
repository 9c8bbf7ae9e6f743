using System.Runtime.CompilerServices;
using Resilience.Caching.Guard;
using Storefront.Catalogue;

namespace Storefront.Products;

/// <summary>Every key that a product page can be asked for, row by row from the catalogue: what the guard in front of the cache knows.</summary>
// snippet: guard-source
internal sealed class ProductKeys(IShop shop) : IGuardSource
{
    public async IAsyncEnumerable<string> ReadKeysAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (int id in shop.IdsAsync(cancellationToken))
        {
            yield return ProductPages.KeyOf(id);
        }
    }
}
// end-snippet
