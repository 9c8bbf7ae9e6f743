using System.Collections.Concurrent;
using Microsoft.Extensions.Caching.Memory;

namespace Resilience.Incidents.Incidents.HungLoader;

/// <summary>
/// A cache with single flight: this team has met the breakdown already. The flight is removed when it ends, in a finally block, and a
/// waiting caller gives up with its request.
/// </summary>
/// <remarks>
/// Why it fails: a flight that never ends is never removed. Everybody who asks for the key joins it, and gives up, and the next one joins
/// it again. Nothing is logged, because nothing has failed; the health check asks for other things. It lasts until the restart.
/// </remarks>
internal sealed class Naive(Supplier supplier) : IQuotes, IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions());
    private readonly ConcurrentDictionary<string, Lazy<Task<Quote>>> _flights = new();

    public async ValueTask<Quote> GetAsync(string item, CancellationToken cancellationToken)
    {
        if (_cache.TryGetValue(item, out Quote? quote))
        {
            return quote!;
        }

#pragma warning disable VSTHRD011 // a lazy task is how single flight is usually written by hand; there is no synchronisation context here
        Task<Quote> flight = _flights.GetOrAdd(item, key => new Lazy<Task<Quote>>(() => LoadAsync(key))).Value;
#pragma warning restore VSTHRD011
        return await flight.WaitAsync(cancellationToken);
    }

    public void Dispose() => _cache.Dispose();

    private async Task<Quote> LoadAsync(string item)
    {
        try
        {
            Quote quote = await supplier.AskAsync(item);
            _cache.Set(item, quote, HungLoaderIncident.Expiration);
            return quote;
        }
        finally
        {
            _flights.TryRemove(item, out _);
        }
    }
}
