using Microsoft.Extensions.Caching.Memory;

namespace Resilience.Incidents.Incidents.LostInvalidation;

/// <summary>Cache-aside by the book: write the database, then remove the entry; read the entry, else the database, then store it.</summary>
/// <remarks>
/// Why it fails: a read that has taken the old row from the database, and has not stored it yet, stores it after the removal. The entry
/// that was just removed is back, old, for its whole time to live. The window is as long as a query, so it is hit whenever something
/// changes that is read often.
/// </remarks>
internal sealed class Naive(Prices prices) : IPriceService, IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions());

    public async ValueTask<Price> GetAsync(int item, CancellationToken cancellationToken)
    {
        if (_cache.TryGetValue(item, out Price? price))
        {
            return price!;
        }

        price = await prices.ReadAsync(item, cancellationToken);
        _cache.Set(item, price, LostInvalidationIncident.Expiration);
        return price;
    }

    public async ValueTask<int> ChangeAsync(int item, CancellationToken cancellationToken)
    {
        int version = await prices.ChangeAsync(item, cancellationToken);
        _cache.Remove(item);
        return version;
    }

    public void Dispose() => _cache.Dispose();
}
