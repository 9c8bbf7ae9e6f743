using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.LostInvalidation;

internal sealed class LostInvalidationIncident : Incident
{
    private const double Rate = 4_000;
    private const double ChangeShare = 0.05;
    private const string CacheName = "prices";

    public static readonly TimeSpan Expiration = TimeSpan.FromSeconds(3);

    public override string Name => "lost-invalidation";

    public override string Title => "A removal that a load in flight undoes";

    public override string Happened => "Now and then a price that had been corrected went on being shown for an hour. The log proved that the entry had been removed from the cache at the right time.";

    public override string Cause => "A request had read the old row just before the change and stored it in the cache just after the removal. Nothing connects the two, so the removal was lost.";

    public override string Remedy => "Each removal moves a generation forward, and a load may store its result only if the generation of its key is still the one it began with. Callers that joined the load before the removal get what they asked for; nobody who asks afterwards does.";

    public override string Reported => "no figure was published; every peer that compares clocks has the fault";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(5, 20) };
        run.Say($"without the kit: {Rate:N0} requests a second, {ChangeShare:P0} of them changes, {Prices.Items} items");
        using var naiveService = new Naive(new Prices());
        (Timeline naive, int naiveChanges) = await LoadAsync(plan, run, naiveService);

        await run.SettleAsync();
        run.Say("with the kit: the same");
        await using KitHost host = await KitHost.StartAsync(static services => services.AddResilientCache(CacheName, WithKit.Configure));
        (Timeline kit, int kitChanges) = await LoadAsync(plan, run, new WithKit(new Prices(), host.Services.GetRequiredKeyedService<ResilientCache>(CacheName)));

        LoadFigures was = naive.All();
        LoadFigures now = kit.All();
        return new IncidentResult()
            .Row("requests", IncidentResult.Number(was.Sent), IncidentResult.Number(now.Sent))
            .Row("changes of a price", IncidentResult.Number(naiveChanges), IncidentResult.Number(kitChanges))
            .Headline("old prices shown after the change", IncidentResult.Number(was.Wrong), IncidentResult.Number(now.Wrong))
            .Row("failed", IncidentResult.Number(was.Failed), IncidentResult.Number(now.Failed))
            .Row("p99", IncidentResult.Ms(was.P99), IncidentResult.Ms(now.P99))
            .Check("nobody is shown an older price once a change has returned", "stale", IncidentResult.Number(now.Wrong), now.Wrong == 0 && now.Failed == 0)
            .Check("without the kit it happens under the same load", "naive", IncidentResult.Number(was.Wrong), was.Wrong > 0)
            .Add(new Plot("Old prices shown", "per second", []).Both(naive, kit, static figures => figures.Wrong / figures.Seconds))
            .Add(new Plot("Latency, 99th percentile", "ms", []) { Logarithmic = true }.Both(naive, kit, static figures => figures.P99));
    }

    private static async Task<(Timeline Timeline, int Changes)> LoadAsync(LoadPlan plan, ReplayRun run, IPriceService service)
    {
        int changes = 0;
        var visible = new int[Prices.Items]; // the newest version whose change has returned
        var timeline = new Timeline(plan);
        await new OpenLoop(timeline, async (arrival, gone) =>
        {
            int item = (int)(Dice.Share((ulong)run.Seed, arrival.Index) * Prices.Items);
            if (Dice.Share((ulong)run.Seed + 1, arrival.Index) < ChangeShare)
            {
                int version = await service.ChangeAsync(item, gone);
                Interlocked.Increment(ref changes);
                for (int seen = Volatile.Read(ref visible[item]); version > seen && Interlocked.CompareExchange(ref visible[item], version, seen) != seen; seen = Volatile.Read(ref visible[item]))
                {
                }

                return Reply.Ok;
            }

            int least = Volatile.Read(ref visible[item]);
            return (await service.GetAsync(item, gone)).Version >= least ? Reply.Ok : Reply.Wrong;
        }).RunAsync();
        return (timeline, changes);
    }
}
