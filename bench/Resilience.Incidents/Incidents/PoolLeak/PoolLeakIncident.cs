using Microsoft.Extensions.DependencyInjection;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;
using Resilience.Pools;

namespace Resilience.Incidents.Incidents.PoolLeak;

internal sealed class PoolLeakIncident : Incident
{
    private const double Rate = 500;
    private const int LeakReport = 2000;

    private static readonly TimeSpan LeakThreshold = TimeSpan.FromMilliseconds(500);

    public override string Name => "pool-leak";

    public override string Title => "An error path that forgets to return its connection";

    public override string Happened => "\"Connection pool exhausted\", every few hours, at no particular load. The database was idle. A restart helped; so, for a while, did a larger pool.";

    public override string Cause => "One path in a hundred returned from the handler without returning its connection. Nothing in a pool knows the difference between a connection that is at work and one that is lost, so the pool ran dry and every caller waited for what would never come back.";

    public override string Remedy => "Every lease knows since when and from which line it is held. Past the threshold the pool reports the line, once for each leak, and, where it was told to reclaim, ends the lease, destroys that connection and gives its place to the next caller.";

    public override string Reported => "success 92.3 → 99.8 %, mean 218 → 97 ms";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(8, 30), Patience = TimeSpan.FromSeconds(4) };

        run.Say($"without the kit: {Rate:N0} orders a second for {plan.Duration.TotalSeconds:F0} s");
        var naive = new Naive();
        var before = new Timeline(plan);
        before.Watch("usable", () => naive.Idle);
        await new OpenLoop(before, (arrival, gone) => AskAsync(naive, arrival, gone)).RunAsync();

        await run.SettleAsync();
        run.Say("with the kit: the same orders, the same bug");
        await using KitHost host = await KitHost.StartAsync(services =>
        {
            services.AddResourcePool("orders", static (_, _) => ValueTask.FromResult(new Connection()));
            services.Configure<PoolOptions>("orders", static options =>
            {
                options.MaxSize = Shop.Connections;
                options.AcquireTimeout = Shop.Wait;
                options.LeakThreshold = LeakThreshold;
                options.LeakAction = LeakAction.Reclaim;
            });
        });
        ResourcePool<Connection> pool = host.Services.GetRequiredKeyedService<ResourcePool<Connection>>("orders");
        var kit = new WithKit(pool);
        var after = new Timeline(plan);
        after.Watch("usable", () => pool.Snapshot() is var now ? now.MaxSize - now.Leased : 0);
        await new OpenLoop(after, (arrival, gone) => AskAsync(kit, arrival, gone)).RunAsync();
        await Task.Delay(LeakThreshold + TimeSpan.FromSeconds(1)); // the last leaks are due within the threshold and a second

        int leaked = Enumerable.Range(0, after.All().Sent).Count(Shop.IsSoldOut);
        int named = host.Log.WithId(LeakReport).Count(static entry => entry.Message.Contains("WithKit.cs:", StringComparison.Ordinal));
        LoadFigures was = before.All();
        LoadFigures now = after.All();
        return new IncidentResult()
            .Row("orders", IncidentResult.Number(was.Sent), IncidentResult.Number(now.Sent))
            .Row("connections leaked", IncidentResult.Number(Math.Min(Shop.Connections, leaked)), IncidentResult.Number(leaked))
            .Headline("success", IncidentResult.Percent(was.Success), IncidentResult.Percent(now.Success, 3))
            .Row("mean", IncidentResult.Ms(was.Mean), IncidentResult.Ms(now.Mean))
            .Row("p99", IncidentResult.Ms(was.P99), IncidentResult.Ms(now.P99))
            .Row("leaks reported with their line", "0", IncidentResult.Number(named))
            .Check("success at least 99.99 %", "success", IncidentResult.Percent(now.Success, 3), now.Success >= 0.9999)
            .Check("every leak is named, with its line", "named", $"{named} of {leaked}", named == leaked)
            .Check("without the kit the service stops", "naive", IncidentResult.Percent(was.Success), was.Success < 0.95)
            .AddLoadPlots(before, after)
            .Add(new Plot("Connections that are not leased", "of 20", []).Both(before, after, "usable"));
    }

    private static async ValueTask<Reply> AskAsync(IShop shop, Arrival arrival, CancellationToken gone)
    {
        OrderOutcome outcome = await shop.OrderAsync(arrival.Index, gone);
        return outcome == (Shop.IsSoldOut(arrival.Index) ? OrderOutcome.SoldOut : OrderOutcome.Accepted) ? Reply.Ok : Reply.Wrong;
    }
}
