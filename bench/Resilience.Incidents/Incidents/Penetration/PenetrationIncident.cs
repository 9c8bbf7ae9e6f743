using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.Penetration;

internal sealed class PenetrationIncident : Incident
{
    private const string CacheName = "products";
    private const double Rate = 4_000;
    private const double AttackShare = 0.85;
    private const int PopularProducts = 500;
    private const int Visitor = 0;
    private const int Attack = 1;

    public override string Name => "penetration";

    public override string Title => "Questions for what does not exist";

    public override string Happened => "Somebody asked for product numbers at random. The cache's hit ratio fell, the database was saturated, and the shop became slow for everybody, though each of those questions had the cheapest answer there is: no.";

    public override string Cause => "A cache answers for what it has seen. A made-up key has never been seen, so each one is a query; and remembering each \"no\" fills the memory with keys that never come again.";

    public override string Remedy => "A Bloom filter of the keys that exist, some ten bits a key, answers \"certainly not\" without a query. It refuses only while it is known to be complete, and a key enters it before its row is committed, so what exists is never refused.";

    public override string Reported => "no figure was published";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(6, 20), Lanes = 2 };
        run.Say($"without the kit: {Rate:N0} questions a second, {AttackShare:P0} of them made up");
        var naiveShop = new Shop();
        using var naiveLookup = new Naive(naiveShop);
        Timeline naive = await LoadAsync(plan, run, naiveShop, naiveLookup);

        await run.SettleAsync();
        run.Say("with the kit: the same");
        var kitShop = new Shop();
        await using KitHost host = await KitHost.StartAsync(services =>
        {
            services.AddBloomGuard(CacheName, _ => kitShop);
            services.Configure<GuardOptions>(CacheName, static options => options.ExpectedKeys = Shop.InitialProducts * 2);
            services.AddResilientCache(CacheName, static options => options.Expiration = TimeSpan.FromMinutes(10));
        });
        BloomGuard guard = host.Services.GetRequiredKeyedService<BloomGuard>(CacheName);
        while (guard.State != GuardState.Ready)
        {
            await Task.Delay(20);
        }

        Timeline kit = await LoadAsync(plan, run, kitShop, new WithKit(kitShop, host.Services.GetRequiredKeyedService<ResilientCache>(CacheName), guard));

        LoadFigures was = naive.All(Visitor);
        LoadFigures now = kit.All(Visitor);
        int attacks = kit.All(Attack).Sent;
        double kept = 1 - ((double)kitShop.AttackLookups / attacks);
        return new IncidentResult()
            .Row("visitors' requests", IncidentResult.Number(was.Sent), IncidentResult.Number(now.Sent))
            .Row("made-up questions", IncidentResult.Number(naive.All(Attack).Sent), IncidentResult.Number(attacks))
            .Headline("queries for what does not exist", IncidentResult.Number(naiveShop.AttackLookups), IncidentResult.Number(kitShop.AttackLookups))
            .Row("visitors' success", IncidentResult.Percent(was.Success), IncidentResult.Percent(now.Success))
            .Row("visitors' p99", IncidentResult.Ms(was.P99), IncidentResult.Ms(now.P99))
            .Row("existing products refused", "0", IncidentResult.Number(now.Wrong))
            .Check("at least 99 % of the made-up questions never reach the database", "kept-away", IncidentResult.Percent(kept), kept >= 0.99)
            .Check("nothing that exists is refused, products added meanwhile included", "refused", IncidentResult.Number(now.Wrong), now.Wrong == 0)
            .Add(new Plot("Visitors with an answer", "% of requests", []) { Max = 100 }.Both(naive, kit, static figures => figures.Success * 100, Visitor))
            .Add(new Plot("Visitors' latency, 99th percentile", "ms", []) { Logarithmic = true }.Both(naive, kit, static figures => figures.P99, Visitor))
            .Add(new Plot("Queries at the database", "per second", []).Both(naive, kit, "queries"));
    }

    private static async Task<Timeline> LoadAsync(LoadPlan plan, ReplayRun run, Shop shop, ILookup lookup)
    {
        var zipf = new Zipf(PopularProducts, 0.8, run.Seed);
        var timeline = new Timeline(plan);
        timeline.WatchRate("queries", () => shop.Source.Calls);
        await new OpenLoop(timeline, arrival => Dice.Share((ulong)run.Seed, arrival.Index) < AttackShare ? Attack : Visitor, async (arrival, gone) =>
        {
            if (Dice.Share((ulong)run.Seed, arrival.Index) < AttackShare)
            {
                return await lookup.GetAsync(Shop.MadeUp((ulong)run.Seed + 1, arrival.Index), gone) is null ? Reply.Ok : Reply.Wrong;
            }

            string key = Shop.Key(zipf.Draw(arrival.Index));
            if (arrival.Index % 50 == 0)
            {
                // a product that has not been there a moment ago; somebody may even have asked for it
                key = Shop.Key(Shop.InitialProducts + arrival.Index);
                await lookup.GetAsync(key, gone);
                await lookup.AddAsync(key, gone);
            }

            return await lookup.GetAsync(key, gone) is not null ? Reply.Ok : Reply.Wrong;
        }).RunAsync();
        return timeline;
    }
}
