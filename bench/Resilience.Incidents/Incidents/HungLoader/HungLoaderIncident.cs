using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.HungLoader;

internal sealed class HungLoaderIncident : Incident
{
    private const double Rate = 800;
    private const int Items = 60;
    private const string CacheName = "quotes";

    private static readonly TimeSpan Swallowed = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Recovered = TimeSpan.FromSeconds(2.3);

    public static readonly TimeSpan Expiration = TimeSpan.FromSeconds(1);

    public override string Name => "hung-loader";

    public override string Title => "A load that never ends holds its key for ever";

    public override string Happened => "After a network hiccup of less than a second some items could not be read any more, for a day, on some of the nodes. Probes were green, there was nothing in the logs, and only those items were missing.";

    public override string Cause => "The cache let one load a key run and made everybody else wait for it, as it should. One load hung in a client without a timeout, so its key was never free again.";

    public override string Remedy => "A flight belongs to the cache, not to the loader: at its time limit it is cancelled and abandoned, even when the loader ignores its token, and the key is free at once. A result that comes later is dropped. Meanwhile readers get the last good copy.";

    public override string Reported => "six incidents in production; a lock held for more than 24 hours with green probes (Altinn dialogporten #4252)";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(7, 20) };
        run.Say($"without the kit: {Rate:N0} requests a second over {Items} items, calls swallowed from 2 to 2.3 s");
        var naiveSupplier = new Supplier();
        using var naiveQuotes = new Naive(naiveSupplier);
        Timeline naive = await LoadAsync(plan, run, naiveSupplier, naiveQuotes);

        await run.SettleAsync();
        run.Say("with the kit: the same");
        var kitSupplier = new Supplier();
        await using KitHost host = await KitHost.StartAsync(static services => services.AddResilientCache(CacheName, WithKit.Configure));
        Timeline kit = await LoadAsync(plan, run, kitSupplier, new WithKit(kitSupplier, host.Services.GetRequiredKeyedService<ResilientCache>(CacheName)));

        double slowest = kitSupplier.FreeAfter.Select(static time => time.TotalSeconds).DefaultIfEmpty(double.PositiveInfinity).Max();
        bool allFree = kitSupplier.FreeAfter.Count == kitSupplier.Hung && kitSupplier.Hung > 0;
        double limit = (WithKit.LoadTimeout + WithKit.StaleThrottle).TotalSeconds + 0.5;
        LoadFigures wasAfter = naive.Slice(Recovered, plan.Duration);
        return new IncidentResult()
            .Row("requests", IncidentResult.Number(naive.All().Sent), IncidentResult.Number(kit.All().Sent))
            .Row("success", IncidentResult.Percent(naive.All().Success), IncidentResult.Percent(kit.All().Success))
            .Headline("success after the hiccup", IncidentResult.Percent(wasAfter.Success), IncidentResult.Percent(kit.Slice(Recovered, plan.Duration).Success))
            .Row("p99", IncidentResult.Ms(naive.All().P99), IncidentResult.Ms(kit.All().P99))
            .Row("items whose load hung", IncidentResult.Number(naiveSupplier.Hung), IncidentResult.Number(kitSupplier.Hung))
            .Row("of these loaded again", IncidentResult.Number(naiveSupplier.FreeAfter.Count), IncidentResult.Number(kitSupplier.FreeAfter.Count))
            .Check("no request fails: there is always the last good copy", "success", IncidentResult.Percent(kit.All().Success), kit.All().Success >= 0.9999)
            .Check($"every item can be loaded again within {limit:F1} s (time limit, pause and half a second)", "free-after", allFree ? $"{slowest:F2} s" : "never", allFree && slowest <= limit)
            .AddLoadPlots(naive, kit, new PlotMark(Swallowed.TotalSeconds, "calls swallowed", Recovered.TotalSeconds))
            .Add(new Plot("Requests in flight", "requests", []).Both(naive, kit, "in flight"));
    }

    private static async Task<Timeline> LoadAsync(LoadPlan plan, ReplayRun run, Supplier supplier, IQuotes quotes)
    {
        for (int item = 0; item < Items; item++)
        {
            await quotes.GetAsync($"item:{item}", CancellationToken.None); // each expires at a time of its own
        }

        var timeline = new Timeline(plan);
        await new OpenLoop(timeline, async (arrival, gone) =>
            {
                string item = $"item:{(int)(Dice.Share((ulong)run.Seed, arrival.Index) * Items)}";
                return (await quotes.GetAsync(item, gone)).Item == item ? Reply.Ok : Reply.Wrong;
            })
            .At(Swallowed, supplier.Swallow)
            .At(Recovered, supplier.Recover)
            .RunAsync();
        return timeline;
    }
}
