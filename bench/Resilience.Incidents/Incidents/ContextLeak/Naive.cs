namespace Resilience.Incidents.Incidents.ContextLeak;

/// <summary>
/// The session in an AsyncLocal, set when the request begins and cleared when it ends, as every article recommends.
/// </summary>
/// <remarks>
/// Why it fails: setting an AsyncLocal to null changes this flow's context alone. Whatever captured the context earlier (here the
/// reminder's timer; elsewhere a token registration, a Task.Delay, a parked reader) keeps the old value, and with it the whole session,
/// for as long as it lives. Nobody who reads this class would look for the leak in the class that starts the timer.
/// </remarks>
internal sealed class Naive(Reminders reminders) : IOrders
{
    private static readonly AsyncLocal<Session?> Current = new();

    public async ValueTask<int> HandleAsync(int order)
    {
        Current.Value = new Session(order);
        try
        {
            await Task.Yield();
            if (Orders.LeavesPaymentOpen(order))
            {
                reminders.Remind(order);
            }

            await Task.Yield();
            return Current.Value.Discount;
        }
        finally
        {
            Current.Value = null;
        }
    }
}
