using System.Threading.Channels;

namespace Resilience.Incidents.Incidents.PoolLeak;

/// <summary>
/// A bounded pool over a channel, twenty connections, a timeout on the wait: a sound pool, and a handler with an early return in it.
/// </summary>
/// <remarks>
/// Why it fails: the handler was written with rent and return around one query. The check for "sold out" came later, by another hand,
/// between the two. Each such order takes a connection with it; after twenty of them the pool is empty for good, every caller waits its
/// three seconds, and the error speaks of a pool that is too small. Making it larger makes the next outage later.
/// </remarks>
internal sealed class Naive : IShop
{
    private readonly Channel<Connection> _idle = Channel.CreateBounded<Connection>(Shop.Connections);

    public Naive()
    {
        for (int i = 0; i < Shop.Connections; i++)
        {
            _idle.Writer.TryWrite(new Connection());
        }
    }

    public int Idle => _idle.Reader.Count;

    public async ValueTask<OrderOutcome> OrderAsync(int order, CancellationToken cancellationToken)
    {
        Connection connection = await RentAsync(cancellationToken);
        bool reserved;
        try
        {
            reserved = await connection.ReserveAsync(order, cancellationToken);
        }
        catch
        {
            Return(connection);
            throw;
        }

        if (!reserved)
        {
            return OrderOutcome.SoldOut; // the bug: the connection goes with it
        }

        Return(connection);
        return OrderOutcome.Accepted;
    }

    private async ValueTask<Connection> RentAsync(CancellationToken cancellationToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(Shop.Wait);
        try
        {
            return await _idle.Reader.ReadAsync(timeout.Token);
        }
        catch (OperationCanceledException exception) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException("Timeout expired. The timeout period elapsed prior to obtaining a connection from the pool.", exception);
        }
    }

    private void Return(Connection connection) => _idle.Writer.TryWrite(connection);
}
