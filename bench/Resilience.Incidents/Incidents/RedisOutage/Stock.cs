using Resilience.Incidents.Instruments;

namespace Resilience.Incidents.Incidents.RedisOutage;

internal sealed record Level(int Item, int Version);

/// <summary>The stock table: twenty connections, five milliseconds a query.</summary>
internal sealed class Stock
{
    public const int Items = 400;

    private readonly int[] _versions = new int[Items];

    public Source Source { get; } = new(slots: 20, query: TimeSpan.FromMilliseconds(5));

    public static string Key(int item) => $"stock:{item}";

    public async Task<Level> ReadAsync(int item, CancellationToken cancellationToken)
    {
        int version = Volatile.Read(ref _versions[item]);
        await Source.QueryAsync(Key(item), cancellationToken);
        return new Level(item, version);
    }

    public async Task<int> ChangeAsync(int item, CancellationToken cancellationToken)
    {
        await Source.QueryAsync(Key(item), cancellationToken);
        return Interlocked.Increment(ref _versions[item]);
    }
}

/// <summary>One of two nodes of the service; both share one Redis.</summary>
internal interface INode
{
    ValueTask<Level> GetAsync(int item, CancellationToken cancellationToken);

    ValueTask<int> ChangeAsync(int item, CancellationToken cancellationToken);
}

/// <summary>What readers may expect: on the node of a change the change at once, on the other one three seconds later, which is when local copies have ended anyhow.</summary>
internal sealed class Expectations
{
    private static readonly TimeSpan Elsewhere = TimeSpan.FromSeconds(3);
    private readonly List<(TimeSpan At, int Node, int Version)>[] _changes = [.. Enumerable.Range(0, Stock.Items).Select(static _ => new List<(TimeSpan, int, int)>())];

    public void Changed(int item, int node, int version, TimeSpan at)
    {
        lock (_changes[item])
        {
            _changes[item].Add((at, node, version));
        }
    }

    /// <summary>The oldest version that a read may still show.</summary>
    /// <param name="item">What is read.</param>
    /// <param name="node">Where.</param>
    /// <param name="at">When the read begins.</param>
    /// <param name="isConnected">Whether the nodes can hear of one another: while they cannot, only a node's own changes bind it.</param>
    public int Least(int item, int node, TimeSpan at, bool isConnected)
    {
        lock (_changes[item])
        {
            return _changes[item].Where(change => change.Node == node || (isConnected && change.At < at - Elsewhere)).Select(static change => change.Version).DefaultIfEmpty(0).Max();
        }
    }
}
