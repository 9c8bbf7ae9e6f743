namespace Resilience.Incidents.Incidents.Cascade;

/// <summary>
/// One pool for the service, and calls to the inventory with a timeout of a second and two retries with back-off, as the handbook says. All
/// of it ends when the caller has left.
/// </summary>
/// <remarks>
/// Why it fails: the estimate reads the order in a unit of work and asks the inventory within it, so a connection waits with each call,
/// for as long as the caller does. A few dozen estimates hold every connection there is, and payments, which never talk to the inventory,
/// find none. The retries meanwhile ask more and more of a service that is down because it cannot keep up.
/// </remarks>
internal sealed class Naive(Inventory inventory) : IOrders
{
    private const int Attempts = 3;
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(1);
    private readonly SemaphoreSlim _pool = new(Orders.Connections);
    private readonly Connection _connection = new();

    public ValueTask PayAsync(CancellationToken cancellationToken) => WithConnectionAsync(static (_, _) => Task.CompletedTask, cancellationToken);

    public async ValueTask<Estimate> EstimateAsync(int product, CancellationToken cancellationToken)
    {
        int days = 0;
        await WithConnectionAsync(async (_, token) => days = await AskAsync(product, token), cancellationToken);
        return new Estimate(days, IsGuess: false);
    }

    private async ValueTask WithConnectionAsync(Func<Connection, CancellationToken, Task> work, CancellationToken cancellationToken)
    {
        await _pool.WaitAsync(cancellationToken);
        try
        {
            await _connection.QueryAsync(cancellationToken);
            await work(_connection, cancellationToken);
        }
        finally
        {
            _pool.Release();
        }
    }

    private async Task<int> AskAsync(int product, CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await inventory.DaysToDeliveryAsync(product, cancellationToken).WaitAsync(CallTimeout, cancellationToken);
            }
            catch (TimeoutException) when (attempt < Attempts)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(100 << attempt), cancellationToken);
            }
        }
    }
}
