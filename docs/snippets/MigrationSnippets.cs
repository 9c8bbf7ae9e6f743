using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Resilience.Caching;
using Resilience.Pools;

namespace Resilience.Snippets;

internal sealed record Product(int Id, string Name);

internal interface IProducts
{
    Task<Product?> FindAsync(int id, CancellationToken cancellationToken);
}

internal sealed class BeforeMemoryCache(IMemoryCache cache, IProducts products)
{
    // snippet: memory-before
    public Task<Product?> FindAsync(int id, CancellationToken ct) => cache.GetOrCreateAsync($"product:{id}", entry =>
    {
        entry.AbsoluteExpirationRelativeToNow = TimeSpan.FromMinutes(5); // all that were read together expire together
        return products.FindAsync(id, ct);                               // a thousand callers of a cold key: a thousand queries
    });
    // end-snippet
}

internal sealed class AfterMemoryCache(HybridCache cache, IProducts products)
{
    // snippet: memory-after
    public ValueTask<Product?> FindAsync(int id, CancellationToken ct) => cache.GetOrCreateAsync(
        $"product:{id}",
        (products, id),
        static (source, ct) => new ValueTask<Product?>(source.products.FindAsync(source.id, ct)),
        cancellationToken: ct);
    // end-snippet
}

internal static class DistributedCacheSnippets
{
    // snippet: distributed
    public static void Add(IServiceCollection services, Func<IServiceProvider, IDistributedCache> existing)
    {
        services.AddResilientCache("products").UseDistributedCache(existing);
    }
    // end-snippet
}

internal sealed class FailSafeSnippets(ResilientCache cache, IProducts products)
{
    // snippet: fail-safe
    private static readonly CacheEntryOptions Options = new()
    {
        Expiration = TimeSpan.FromMinutes(5),
        StaleFor = TimeSpan.FromHours(2),             // FusionCache: IsFailSafeEnabled, FailSafeMaxDuration
        StaleThrottle = TimeSpan.FromSeconds(30),     // FailSafeThrottleDuration
        SoftTimeout = TimeSpan.FromMilliseconds(100), // FactorySoftTimeout
        LoadTimeout = TimeSpan.FromSeconds(5),        // FactoryHardTimeout; ours frees the key even if the factory never ends
        EagerRefresh = 0.8,                           // EagerRefreshThreshold
        Jitter = 0.1,                                 // JitterMaxDuration, as a share of the expiration, up and down
    };

    public ValueTask<Product?> FindAsync(int id, CancellationToken ct) => cache.GetOrCreateAsync<(IProducts Products, int Id), Product?>(
        $"product:{id}",
        (products, id),
        static async (load, source, ct) => await source.Products.FindAsync(source.Id, ct) ?? load.Absent(), // context.Fail, NotModified, adaptive options: on CacheLoad
        Options,
        cancellationToken: ct);
    // end-snippet
}

internal sealed class SmtpClient;

internal static class PoolSnippets
{
    // snippet: pool
    public static void Add(IServiceCollection services)
    {
        services.AddResourcePool("smtp", static (_, ct) => new ValueTask<SmtpClient>(new SmtpClient()));
    }

    public static ValueTask SendAsync(ResourcePool<SmtpClient> pool, string mail, CancellationToken ct) =>
        pool.RunAsync(static (client, mail, ct) => SendOverAsync(client, mail, ct), mail, ct); // returned on every path, thrown away when broken
    // end-snippet

    // snippet: npgsql
    public static void AddShop(IServiceCollection services, string connectionString)
    {
        string unpooled = new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString;
        services.AddPooledDbDataSource("shop", _ => () => new NpgsqlConnection(unpooled)); // a DbDataSource, keyed "shop"
    }
    // end-snippet

    private static ValueTask SendOverAsync(SmtpClient client, string mail, CancellationToken ct) => ValueTask.CompletedTask;
}
