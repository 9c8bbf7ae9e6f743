using Resilience.Pools;

namespace Resilience.Incidents.Incidents.PoolLeak;

/// <summary>
/// The same handler with the same bug on the kit's pool. Within the leak threshold the pool says which line holds the connection, takes
/// the place back and makes a new connection.
/// </summary>
internal sealed class WithKit(ResourcePool<Connection> pool) : IShop
{
    public async ValueTask<OrderOutcome> OrderAsync(int order, CancellationToken cancellationToken)
    {
        PoolLease<Connection> lease = await pool.AcquireAsync(cancellationToken);
        bool reserved;
        try
        {
            reserved = await lease.Resource.ReserveAsync(order, cancellationToken);
        }
        catch
        {
            lease.Dispose();
            throw;
        }

        if (!reserved)
        {
            return OrderOutcome.SoldOut; // the same bug
        }

        lease.Dispose();
        return OrderOutcome.Accepted;
    }
}
