namespace Resilience.Incidents.Incidents.Cascade;

/// <summary>Another team's service: twenty milliseconds, some hundred calls at a time, and for a while it answers nobody in less than four seconds.</summary>
internal sealed class Inventory
{
    private readonly SemaphoreSlim _workers = new(100);
    private volatile bool _isSlow;
    private long _calls;

    public long Calls => Interlocked.Read(ref _calls);

    public void SlowDown() => _isSlow = true;

    public void Recover() => _isSlow = false;

    public async Task<int> DaysToDeliveryAsync(int product, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _calls);
        await _workers.WaitAsync(cancellationToken);
        try
        {
            await Task.Delay(_isSlow ? 4_000 : 20, CancellationToken.None); // what has been begun is worked off
            return 1 + (product % 3);
        }
        finally
        {
            _workers.Release();
        }
    }
}

/// <summary>A connection to the orders database.</summary>
internal sealed class Connection
{
    public Task QueryAsync(CancellationToken cancellationToken) => Task.Delay(5, cancellationToken);
}

internal static class Orders
{
    /// <summary>What the database allows this service in all.</summary>
    public const int Connections = 30;
}

internal readonly record struct Estimate(int Days, bool IsGuess);

internal interface IOrders
{
    /// <summary>Takes a payment: the critical path. It has nothing to do with the inventory.</summary>
    ValueTask PayAsync(CancellationToken cancellationToken);

    /// <summary>Tells when a product would arrive; needs the inventory.</summary>
    ValueTask<Estimate> EstimateAsync(int product, CancellationToken cancellationToken);
}
