namespace Resilience.Incidents.Incidents.PoolLeak;

/// <summary>A connection to the orders database; a query takes some four milliseconds.</summary>
internal sealed class Connection
{
    public async Task<bool> ReserveAsync(int order, CancellationToken cancellationToken)
    {
        await Task.Delay(4, cancellationToken);
        return !Shop.IsSoldOut(order);
    }
}

internal enum OrderOutcome
{
    Accepted,
    SoldOut,
}

internal interface IShop
{
    ValueTask<OrderOutcome> OrderAsync(int order, CancellationToken cancellationToken);
}

internal static class Shop
{
    public const int Connections = 20;

    public static readonly TimeSpan Wait = TimeSpan.FromSeconds(3);

    /// <summary>One order in a hundred asks for something that is gone.</summary>
    public static bool IsSoldOut(int order) => order % 100 == 37;
}
