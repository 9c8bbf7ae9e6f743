using Resilience.Caching;
using Resilience.Caching.Guard;

namespace Resilience.Incidents.Incidents.Penetration;

/// <summary>
/// A filter of all keys that exist stands in front of the cache. What it does not know does not exist. A new key is added before its row
/// is committed, so that no product is ever refused.
/// </summary>
internal sealed class WithKit(Shop shop, ResilientCache cache, BloomGuard guard) : ILookup
{
    public ValueTask<string?> GetAsync(string key, CancellationToken cancellationToken) =>
        cache.GetOrCreateAsync<(Shop shop, string key), string?>(
            key,
            (shop, key),
            static async (load, at, token) => await at.shop.ReadAsync(at.key, token) ?? load.Absent(),
            cancellationToken: cancellationToken);

    public async ValueTask AddAsync(string key, CancellationToken cancellationToken)
    {
        await guard.AddAsync(key, cancellationToken);
        shop.Insert(key);
        await cache.RemoveAsync(key, cancellationToken);
    }
}
