using Microsoft.Extensions.Caching.Memory;

namespace Resilience.Incidents.Incidents.Penetration;

/// <summary>Cache-aside that also remembers for half a minute that something does not exist.</summary>
/// <remarks>
/// Why it fails: remembering absence helps against one wrong key that is asked for often. Keys that are made up come once each. Every one
/// goes to the database, and every one leaves an entry behind that nobody will ask for again.
/// </remarks>
internal sealed class Naive(Shop shop) : ILookup, IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions());

    public async ValueTask<string?> GetAsync(string key, CancellationToken cancellationToken)
    {
        if (_cache.TryGetValue(key, out string? page))
        {
            return page;
        }

        page = await shop.ReadAsync(key, cancellationToken);
        _cache.Set(key, page, page is null ? TimeSpan.FromSeconds(30) : TimeSpan.FromMinutes(10));
        return page;
    }

    public ValueTask AddAsync(string key, CancellationToken cancellationToken)
    {
        shop.Insert(key);
        _cache.Remove(key);
        return ValueTask.CompletedTask;
    }

    public void Dispose() => _cache.Dispose();
}
