using Resilience.Caching;

namespace Resilience.Incidents.Incidents.HungLoader;

/// <summary>
/// A load has a time limit of its own: then its flight is abandoned, whatever the load does, and the key is free. Until then whoever
/// would wait gets the last known price after a tenth of a second.
/// </summary>
internal sealed class WithKit(Supplier supplier, ResilientCache cache) : IQuotes
{
    public static readonly TimeSpan LoadTimeout = TimeSpan.FromSeconds(1);
    public static readonly TimeSpan StaleThrottle = TimeSpan.FromMilliseconds(500);

    public static void Configure(CacheOptions options)
    {
        options.Expiration = HungLoaderIncident.Expiration;
        options.LoadTimeout = LoadTimeout;
        options.SoftTimeout = TimeSpan.FromMilliseconds(100);
        options.StaleFor = TimeSpan.FromMinutes(5);
        options.StaleThrottle = StaleThrottle;
        options.ReuseInstances = true;
    }

    public ValueTask<Quote> GetAsync(string item, CancellationToken cancellationToken) =>
        cache.GetOrCreateAsync(item, (supplier, item), static (at, _) => new ValueTask<Quote>(at.supplier.AskAsync(at.item)), cancellationToken: cancellationToken);
}
