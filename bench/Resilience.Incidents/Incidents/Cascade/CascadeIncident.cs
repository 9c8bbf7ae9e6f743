using Microsoft.Extensions.DependencyInjection;
using Resilience.Degrade;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;
using Resilience.Pools;

namespace Resilience.Incidents.Incidents.Cascade;

internal sealed class CascadeIncident : Incident
{
    private const double Rate = 500;
    private const double PayShare = 0.6;
    private const int Pay = 0;
    private const int Estimates = 1;

    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Well = TimeSpan.FromSeconds(7);

    public override string Name => "cascade";

    public override string Title => "A slow inventory takes the payments down";

    public override string Happened => "The inventory service became slow. Within seconds nobody could pay, though paying has nothing to do with the inventory; and when the inventory was well again the order service was not.";

    public override string Cause => "Requests that waited for the inventory held what payments need: a connection each, for as long as their callers had patience. Retries asked still more of the service that could not keep up.";

    public override string Remedy => "The estimate is a feature that may be missing: it has a budget, a breaker, a small pool of its own and a fallback. Payments draw on what the estimate cannot touch.";

    public override string Reported => "time to repair 4.2 min → 47 s";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = TimeSpan.FromSeconds(Math.Max(10, run.Length(10, 20).TotalSeconds)), Lanes = 2, Patience = TimeSpan.FromSeconds(1.5) };
        run.Say($"without the kit: {Rate:N0} requests a second, the inventory slow from 3 to 7 s");
        var naiveInventory = new Inventory();
        Timeline naive = await LoadAsync(plan, run, naiveInventory, new Naive(naiveInventory));

        await run.SettleAsync();
        run.Say("with the kit: the same");
        var kitInventory = new Inventory();
        await using KitHost host = await KitHost.StartAsync(static services =>
        {
            services.AddDegradation().AddFeature(WithKit.DeliveryEstimate);
            services.AddResourcePool(WithKit.CriticalPool, static (_, _) => ValueTask.FromResult(new Connection()));
            services.AddResourcePool(WithKit.EstimatePool, static (_, _) => ValueTask.FromResult(new Connection()));
            services.Configure<PoolOptions>(WithKit.CriticalPool, static options => options.MaxSize = Orders.Connections - WithKit.EstimateConnections);
            services.Configure<PoolOptions>(WithKit.EstimatePool, static options => options.MaxSize = WithKit.EstimateConnections);
        });
        IServiceProvider services = host.Services;
        Timeline kit = await LoadAsync(plan, run, kitInventory, new WithKit(
            kitInventory,
            services.GetRequiredKeyedService<ResourcePool<Connection>>(WithKit.CriticalPool),
            services.GetRequiredKeyedService<ResourcePool<Connection>>(WithKit.EstimatePool),
            services.GetRequiredService<IDegradation>()));

        TimeSpan warm = TimeSpan.FromSeconds(1);
        (LoadFigures wasBefore, LoadFigures wasDuring) = (naive.Slice(warm, Slow, Pay), naive.Slice(Slow, Well, Pay));
        (LoadFigures nowBefore, LoadFigures nowDuring) = (kit.Slice(warm, Slow, Pay), kit.Slice(Slow, Well, Pay));
        double change = (nowDuring.Mean / nowBefore.Mean) - 1;
        (double wasRepair, double nowRepair) = (Repair(naive), Repair(kit));
        PlotMark[] marks = [new(Slow.TotalSeconds, "inventory slow", Well.TotalSeconds)];
        return new IncidentResult()
            .Row("payments while the inventory is slow", IncidentResult.Number(wasDuring.Sent), IncidentResult.Number(nowDuring.Sent))
            .Headline("payments answered meanwhile", IncidentResult.Percent(wasDuring.Success), IncidentResult.Percent(nowDuring.Success))
            .Row("a payment's mean, before", IncidentResult.Ms(wasBefore.Mean), IncidentResult.Ms(nowBefore.Mean))
            .Row("a payment's mean, meanwhile", IncidentResult.Ms(wasDuring.Mean), IncidentResult.Ms(nowDuring.Mean))
            .Row("a payment's p99, meanwhile", IncidentResult.Ms(wasDuring.P99), IncidentResult.Ms(nowDuring.P99))
            .Row("estimates answered, meanwhile", IncidentResult.Percent(naive.Slice(Slow, Well, Estimates).Success), IncidentResult.Percent(kit.Slice(Slow, Well, Estimates).Success))
            .Row("time in which payments failed", Seconds(Failing(naive)), Seconds(Failing(kit)))
            .Row("estimates real again after the inventory is well", Seconds(wasRepair), Seconds(nowRepair))
            .Row("calls to the inventory", IncidentResult.Number(naiveInventory.Calls), IncidentResult.Number(kitInventory.Calls))
            .Check("payments are answered as before: their mean is at most 10 % longer", "mean", $"{change * 100:+0.0;-0.0} %", change <= 0.1)
            .Check("every payment is answered", "success", IncidentResult.Percent(nowDuring.Success), nowDuring.Success >= 0.9999)
            .Check("without the kit payments fail", "naive", IncidentResult.Percent(wasDuring.Success), wasDuring.Success < 0.9)
            .Add(new Plot("Payments answered", "% of requests", marks) { Max = 100 }.Both(naive, kit, static figures => figures.Success * 100, Pay))
            .Add(new Plot("A payment's latency, 99th percentile", "ms", marks) { Logarithmic = true }.Both(naive, kit, static figures => figures.P99, Pay))
            .Add(new Plot("Estimates that are real", "% of requests", marks) { Max = 100 }.Both(naive, kit, static figures => figures.Sent == 0 ? 100 : 100.0 * figures.Ok / figures.Sent, Estimates))
            .Add(new Plot("Calls to the inventory", "per second", marks).Both(naive, kit, "calls"));
    }

    private static async Task<Timeline> LoadAsync(LoadPlan plan, ReplayRun run, Inventory inventory, IOrders orders)
    {
        var timeline = new Timeline(plan);
        timeline.WatchRate("calls", () => inventory.Calls);
        await new OpenLoop(timeline, arrival => LaneOf(run, arrival), async (arrival, gone) =>
            {
                if (LaneOf(run, arrival) == Pay)
                {
                    await orders.PayAsync(gone);
                    return Reply.Ok;
                }

                return (await orders.EstimateAsync(arrival.Index, gone)).IsGuess ? Reply.Degraded : Reply.Ok;
            })
            .At(Slow, inventory.SlowDown)
            .At(Well, inventory.Recover)
            .RunAsync();
        return timeline;
    }

    private static int LaneOf(ReplayRun run, Arrival arrival) => Dice.Share((ulong)run.Seed, arrival.Index) < PayShare ? Pay : Estimates;

    /// <summary>Seconds until payments and real estimates are all answered again, and stay so.</summary>
    private static double Repair(Timeline timeline)
    {
        TimeSpan window = timeline.Plan.Window;
        TimeSpan well = timeline.Plan.Duration;
        for (TimeSpan from = timeline.Plan.Duration - window; from >= Well; from -= window)
        {
            LoadFigures figures = timeline.Slice(from, from + window);
            if (figures.Ok < 0.99 * figures.Sent)
            {
                break;
            }

            well = from;
        }

        return well == timeline.Plan.Duration ? double.PositiveInfinity : (well - Well).TotalSeconds;
    }

    /// <summary>The length of all windows in which a payment failed.</summary>
    private static double Failing(Timeline timeline) =>
        timeline.Series(static figures => figures.Success, Pay).Count(static point => point.Y < 0.99) * timeline.Plan.Window.TotalSeconds;

    private static string Seconds(double seconds) => double.IsPositiveInfinity(seconds) ? "not within the replay" : $"{seconds:F1} s";
}
