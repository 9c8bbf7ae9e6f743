using System.Threading.RateLimiting;
using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Snippets;

internal static class RedisSnippets
{
    // snippet: redis
    public static void Add(IServiceCollection services)
    {
        services.AddResilientCache("products");
        services.AddResilienceRedis(); // reads Resilience:Redis; every cache of the kit gets a shared tier
    }
    // end-snippet

    // snippet: redis-limit
    public static void AddLimit(IServiceCollection services)
    {
        services.AddRedisRateLimiter("mail", options => (options.PermitsPerSecond, options.Burst) = (50, 100)); // Resilience:Limits:mail wins
    }

    public static async Task<bool> TrySendAsync(RateLimiter mail, CancellationToken cancellationToken) // [FromKeyedServices("mail")]
    {
        using RateLimitLease lease = await mail.AcquireAsync(1, cancellationToken);
        return lease.IsAcquired; // if not, the metadata RetryAfter says when to try again
    }
    // end-snippet

    // snippet: redis-overrides
    public static void AddOverrides(IServiceCollection services)
    {
        services.AddDegradation().AddRedisOverrides(lastKnownGood: "/var/lib/shop/overrides");
    }
    // end-snippet
}
