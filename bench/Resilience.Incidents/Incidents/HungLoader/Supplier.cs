using System.Collections.Concurrent;
using System.Diagnostics;

namespace Resilience.Incidents.Incidents.HungLoader;

internal sealed record Quote(string Item, int Version);

/// <summary>
/// A supplier's prices over a connection that a firewall forgets for 300 ms: calls made meanwhile never end, and the client library does
/// not look at its token. Afterwards all is well.
/// </summary>
internal sealed class Supplier
{
    private readonly ConcurrentDictionary<string, long> _hungSince = new();
    private readonly ConcurrentDictionary<string, TimeSpan> _freeAfter = new();
    private volatile bool _swallows;
    private int _version;

    public int Hung => _hungSince.Count;

    /// <summary>For each item whose call has hung and that could be loaded again: how long that took.</summary>
    public IReadOnlyCollection<TimeSpan> FreeAfter => [.. _freeAfter.Values];

    public void Swallow() => _swallows = true;

    public void Recover() => _swallows = false;

    public async Task<Quote> AskAsync(string item)
    {
        if (_swallows)
        {
            _hungSince.TryAdd(item, Stopwatch.GetTimestamp());
            await Task.Delay(Timeout.Infinite, CancellationToken.None);
        }

        await Task.Delay(20);
        if (_hungSince.TryGetValue(item, out long since))
        {
            _freeAfter.TryAdd(item, Stopwatch.GetElapsedTime(since));
        }

        return new Quote(item, Interlocked.Increment(ref _version));
    }
}

internal interface IQuotes
{
    ValueTask<Quote> GetAsync(string item, CancellationToken cancellationToken);
}
