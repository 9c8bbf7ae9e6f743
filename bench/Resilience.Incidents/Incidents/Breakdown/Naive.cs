using Microsoft.Extensions.Caching.Memory;

namespace Resilience.Incidents.Incidents.Breakdown;

/// <summary>Get or create, on the platform's memory cache.</summary>
/// <remarks>
/// Why it fails: GetOrCreateAsync of a memory cache does not hold others back while one creates. For the 300 ms that the query takes every
/// request misses and starts the query again: hundreds of the dearest query there is, for one value.
/// </remarks>
internal sealed class Naive(FrontPage page) : IFrontPage, IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions());

    public async ValueTask<BestSellers> GetAsync(CancellationToken cancellationToken) =>
        (await _cache.GetOrCreateAsync(FrontPage.Key, entry =>
        {
            entry.AbsoluteExpirationRelativeToNow = FrontPage.Expiration;
            return page.ReadAsync(cancellationToken);
        }))!;

    public void Dispose() => _cache.Dispose();
}
