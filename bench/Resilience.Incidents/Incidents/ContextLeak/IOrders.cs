namespace Resilience.Incidents.Incidents.ContextLeak;

internal interface IOrders
{
    ValueTask<int> HandleAsync(int order);
}

internal static class Orders
{
    /// <summary>One order in a hundred is not paid at once.</summary>
    public static bool LeavesPaymentOpen(int order) => order % 100 == 0;
}

/// <summary>The service with no session anywhere: what the reminders themselves cost.</summary>
internal sealed class TimersAlone(Reminders reminders) : IOrders
{
    public async ValueTask<int> HandleAsync(int order)
    {
        var session = new Session(order);
        await Task.Yield();
        if (Orders.LeavesPaymentOpen(order))
        {
            using (ExecutionContext.SuppressFlow())
            {
                reminders.Remind(order);
            }
        }

        await Task.Yield();
        return session.Discount;
    }
}
