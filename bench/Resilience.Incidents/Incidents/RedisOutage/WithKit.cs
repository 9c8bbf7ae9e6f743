using Resilience.Caching;
using Resilience.Redis;

namespace Resilience.Incidents.Incidents.RedisOutage;

/// <summary>
/// The kit's two tiers. A breaker remembers that Redis is away, so that a read costs no more than a local miss; what could not be
/// written or removed is kept, newest per key, and made good on recovery.
/// </summary>
internal sealed class WithKit(Stock stock, ResilientCache cache) : INode
{
    public static void Configure(CacheOptions options)
    {
        options.Expiration = TimeSpan.FromMinutes(10);
        options.LocalExpiration = TimeSpan.FromSeconds(2);
        options.SoftTimeout = TimeSpan.FromMilliseconds(10);
        options.ReuseInstances = true;
        options.Shared.SoftTimeout = TimeSpan.FromMilliseconds(50);
        options.Shared.HardTimeout = TimeSpan.FromMilliseconds(200);
        options.Shared.Breaker.Window = TimeSpan.FromMilliseconds(200);
        options.Shared.Breaker.OpenFor = TimeSpan.FromMilliseconds(500);
    }

    public static void Configure(RedisOptions options, string endpoint)
    {
        options.Configuration = $"{endpoint},abortConnect=false,connectRetry=1";
        options.ConnectTimeout = TimeSpan.FromMilliseconds(500);
        options.KeyPrefix = "kit:";
    }

    public ValueTask<Level> GetAsync(int item, CancellationToken cancellationToken) =>
        cache.GetOrCreateAsync(Stock.Key(item), (stock, item), static (at, token) => new ValueTask<Level>(at.stock.ReadAsync(at.item, token)), cancellationToken: cancellationToken);

    public async ValueTask<int> ChangeAsync(int item, CancellationToken cancellationToken)
    {
        int version = await stock.ChangeAsync(item, cancellationToken);
        await cache.RemoveAsync(Stock.Key(item), cancellationToken);
        return version;
    }
}
