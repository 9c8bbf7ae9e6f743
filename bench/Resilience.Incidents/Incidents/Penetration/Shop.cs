using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Resilience.Caching.Guard;
using Resilience.Incidents.Instruments;

namespace Resilience.Incidents.Incidents.Penetration;

/// <summary>A table of products that grows while it is read; ten connections, five milliseconds a query.</summary>
internal sealed class Shop : IGuardSource
{
    public const int InitialProducts = 50_000;

    private readonly ConcurrentDictionary<string, bool> _rows = new(Enumerable.Range(0, InitialProducts).Select(static id => KeyValuePair.Create(Key(id), true)));
    private long _attackLookups;

    public Source Source { get; } = new(slots: 10, query: TimeSpan.FromMilliseconds(5));

    /// <summary>How many queries there have been for something that does not exist.</summary>
    public long AttackLookups => Interlocked.Read(ref _attackLookups);

    public static string Key(int id) => $"product:{id}";

    /// <summary>A key that nobody has ever used, and that comes only once.</summary>
    public static string MadeUp(ulong seed, int index) => $"product:{1_000_000_000 + (long)(Dice.Share(seed, index) * 1e12)}";

    public void Insert(string key) => _rows[key] = true;

    public async Task<string?> ReadAsync(string key, CancellationToken cancellationToken)
    {
        bool exists = _rows.ContainsKey(key);
        if (!exists)
        {
            Interlocked.Increment(ref _attackLookups);
        }

        await Source.QueryAsync(key, cancellationToken);
        return exists ? $"page of {key}" : null;
    }

    public async IAsyncEnumerable<string> ReadKeysAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (KeyValuePair<string, bool> row in _rows)
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return row.Key;
        }

        await Task.CompletedTask;
    }
}

internal interface ILookup
{
    ValueTask<string?> GetAsync(string key, CancellationToken cancellationToken);

    /// <summary>Adds a product; when this has returned the product can be bought.</summary>
    ValueTask AddAsync(string key, CancellationToken cancellationToken);
}
