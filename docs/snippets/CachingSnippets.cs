using System.Net;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;

namespace Resilience.Snippets;

internal static class CachingSnippets
{
    // snippet: caching-options
    private static readonly CacheEntryOptions Prices = new()
    {
        Expiration = TimeSpan.FromMinutes(10),
        LocalExpiration = TimeSpan.FromMinutes(1),          // then a node compares its copy with the shared tier
        StaleFor = TimeSpan.FromHours(6),                   // stands in while the source fails
        SoftTimeout = TimeSpan.FromMilliseconds(150),       // with a stale copy at hand nobody waits longer
        LoadTimeout = TimeSpan.FromSeconds(3),              // then the load is cancelled and abandoned
        EagerRefresh = 0.8,                                 // the first reader after 80 % of the time starts a refresh
        NegativeExpiration = TimeSpan.FromSeconds(20),
    };
    // end-snippet

    // snippet: caching-hybrid
    public static async Task<string> DescribeAsync(HybridCache cache, int id, Catalogue catalogue, CancellationToken token) =>
        await cache.GetOrCreateAsync($"description:{id}", (catalogue, id), static (source, stop) => source.catalogue.DescribeAsync(source.id, stop), tags: ["catalogue"], cancellationToken: token);
    // end-snippet

    // snippet: caching-conditional
    public static ValueTask<string?> FetchAsync(ResilientCache cache, HttpClient http, string path) =>
        cache.GetOrCreateAsync<string?>(path, async (load, token) =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            if (load is { HasStaleValue: true, ETag: { } known })
            {
                request.Headers.TryAddWithoutValidation("If-None-Match", known);
            }

            using HttpResponseMessage response = await http.SendAsync(request, token);
            switch (response.StatusCode)
            {
                case HttpStatusCode.NotModified:
                    return load.NotModified();              // the stale copy is fresh again, nothing was sent
                case HttpStatusCode.NotFound:
                    return load.Absent();                   // remembered for NegativeExpiration, told apart from null
                default:
                    load.ETag = response.EnsureSuccessStatusCode().Headers.ETag?.ToString();
                    load.Options = response.Headers.CacheControl?.MaxAge is { Ticks: > 0 } age ? Prices with { Expiration = age } : Prices;
                    return await response.Content.ReadAsStringAsync(token);
            }
        }, Prices);
    // end-snippet

    // snippet: caching-batch
    public static ValueTask<IReadOnlyDictionary<string, string>> ManyAsync(ResilientCache cache, IEnumerable<int> ids, Catalogue catalogue) =>
        cache.GetOrCreateManyAsync(ids.Select(id => $"product:{id}"), catalogue, static (missing, source, token) => source.ReadAsync(missing, token));
    // end-snippet

    // snippet: caching-insight
    public static void Print(ResilientCache cache)
    {
        foreach (HotKey hot in cache.Inspector.HotKeys(most: 5))
        {
            Console.WriteLine($"{hot.Share:P0} of the hits: {hot.Key}");
        }

        foreach (CacheEntryInfo entry in cache.Inspector.Entries(tag: "catalogue", most: 20).Entries)
        {
            Console.WriteLine($"{entry.Key}: {entry.Weight} bytes, fresh for {entry.FreshFor}");
        }

        foreach (CacheEvent one in cache.Events.Recent(most: 20))
        {
            Console.WriteLine($"{one.At:T} {one.Kind} {one.Key ?? one.Tag}");
        }
    }
    // end-snippet

    // snippet: caching-distributed
    public static void AddOver(IServiceCollection services)
    {
        services.AddDistributedMemoryCache(); // or any other IDistributedCache
        services.AddResilientCache("products", options => options.LocalExpiration = TimeSpan.FromSeconds(20)).UseDistributedCache();
    }
    // end-snippet

    internal abstract class Catalogue
    {
        public abstract ValueTask<string> DescribeAsync(int id, CancellationToken token);

        public abstract ValueTask<IReadOnlyDictionary<string, string>> ReadAsync(IReadOnlyList<string> keys, CancellationToken token);
    }
}
