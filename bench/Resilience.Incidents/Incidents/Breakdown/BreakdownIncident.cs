using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.Breakdown;

internal sealed class BreakdownIncident : Incident
{
    private const double Rate = 2_000;
    private const string CacheName = "front";

    public override string Name => "breakdown";

    public override string Title => "One hot key expires under load";

    public override string Happened => "On the day of the sale the front page froze every few minutes, always for as long as the list of best sellers took to compute, then longer and longer.";

    public override string Cause => "The list was one cache entry. In the moment it expired everybody missed, and everybody started the same slow report query; the queries slowed each other down, which kept the entry missing for longer.";

    public override string Remedy => "A key has one load in flight in the process, and everybody else joins it. With an eager refresh the load begins before the entry expires, and nobody waits at all.";

    public override string Reported => "database load −75 %";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(7, 20) };
        run.Say($"without the kit: {Rate:N0} visitors a second on one key");
        var naivePage = new FrontPage();
        using var naiveService = new Naive(naivePage);
        Timeline naive = await LoadAsync(plan, naivePage, naiveService);

        await run.SettleAsync();
        run.Say("with the kit: the same");
        var kitPage = new FrontPage();
        await using KitHost host = await KitHost.StartAsync(static services => services.AddResilientCache(CacheName, WithKit.Configure));
        Timeline kit = await LoadAsync(plan, kitPage, new WithKit(kitPage, host.Services.GetRequiredKeyedService<ResilientCache>(CacheName)));

        Source was = naivePage.Source;
        Source now = kitPage.Source;
        double share = (double)now.Peak / was.Peak;
        return new IncidentResult()
            .Row("requests", IncidentResult.Number(naive.All().Sent), IncidentResult.Number(kit.All().Sent))
            .Row("success", IncidentResult.Percent(naive.All().Success), IncidentResult.Percent(kit.All().Success))
            .Row("p99", IncidentResult.Ms(naive.All().P99), IncidentResult.Ms(kit.All().P99))
            .Headline("most queries at once", IncidentResult.Number(was.Peak), IncidentResult.Number(now.Peak))
            .Row("queries in all", IncidentResult.Number(was.Calls), IncidentResult.Number(now.Calls))
            .Row("load on the database", "100 %", IncidentResult.Percent((double)now.Calls / was.Calls, 1))
            .Check("never two loads of the key at once", "per-key", IncidentResult.Number(now.PeakPerKey), now.PeakPerKey <= 1)
            .Check("the most queries at once are at most 5 % of what they were", "peak", IncidentResult.Percent(share), share <= 0.05)
            .Check("no request fails", "success", IncidentResult.Percent(kit.All().Success), kit.All().Success >= 0.9999)
            .AddLoadPlots(naive, kit)
            .Add(new Plot("Queries at the database", "at once", []) { Logarithmic = true }.Both(naive, kit, "at the source"));
    }

    private static async Task<Timeline> LoadAsync(LoadPlan plan, FrontPage page, IFrontPage service)
    {
        await service.GetAsync(CancellationToken.None);
        page.Source.Reset();
        var timeline = new Timeline(plan);
        timeline.Watch("at the source", () => page.Source.TakePeak());
        await new OpenLoop(timeline, async (_, gone) =>
        {
            await service.GetAsync(gone);
            return Reply.Ok;
        }).RunAsync();
        return timeline;
    }
}
