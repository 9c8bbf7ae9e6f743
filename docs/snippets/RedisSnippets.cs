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
}
