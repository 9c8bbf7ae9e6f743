using Resilience.Context;

namespace Resilience.Incidents.Incidents.ContextLeak;

/// <summary>
/// The same session in a request scope. The careless timer is still there and still captures the context; but the context holds the
/// scope, and a scope that has ended holds nothing.
/// </summary>
internal sealed class WithKit(Reminders reminders) : IOrders
{
    private static readonly ScopeKey<Session> Session = new("session");

    public async ValueTask<int> HandleAsync(int order)
    {
        using RequestScope scope = RequestScope.Begin();
        scope.Set(Session, new Session(order));
        await Task.Yield();
        if (Orders.LeavesPaymentOpen(order))
        {
            reminders.Remind(order);
        }

        await Task.Yield();
        return RequestScope.Current!.Get(Session)!.Discount;
    }
}
