using Microsoft.Extensions.Caching.Memory;

namespace Resilience.Incidents.Incidents.Avalanche;

/// <summary>
/// A memory cache with a fixed expiry, warmed up at start so that the first visitors need not wait.
/// </summary>
/// <remarks>
/// Why it fails: what is written together expires together. Four seconds (in life: an hour) after the warm-up every page is missing at
/// once, every visitor asks the database, and while a page's query stands in the growing line each further visitor adds one more query
/// for the same page.
/// </remarks>
internal sealed class Naive(Catalogue catalogue) : IProductPages, IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions());

    public ValueTask WarmUpAsync(CancellationToken cancellationToken)
    {
        for (int id = 0; id < Catalogue.Products; id++)
        {
            _cache.Set(Catalogue.Key(id), Catalogue.Make(id), Catalogue.Expiration);
        }

        return ValueTask.CompletedTask;
    }

    public async ValueTask<Product> GetAsync(int id, CancellationToken cancellationToken) =>
        (await _cache.GetOrCreateAsync(Catalogue.Key(id), entry =>
        {
            entry.AbsoluteExpirationRelativeToNow = Catalogue.Expiration;
            return catalogue.ReadAsync(id, cancellationToken);
        }))!;

    public void Dispose() => _cache.Dispose();
}
