using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;
using Resilience.TestKit;
using StackExchange.Redis;

namespace Resilience.Incidents.Incidents.RedisOutage;

internal sealed class RedisOutageIncident : Incident
{
    private const double Rate = 1_200;
    private const double ChangeShare = 0.03;
    private const int Nodes = 2;
    private const string CacheName = "stock";

    private static readonly TimeSpan Stalled = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Gone = TimeSpan.FromSeconds(7);
    private static readonly TimeSpan Back = TimeSpan.FromSeconds(11);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(2);

    public override string Name => "redis-outage";

    public override string Title => "Redis stalls, goes away, and comes back";

    public override string Happened => "Redis failed over. For the minute that it took every request of the shop waited for timeouts, and for hours afterwards some items showed a stock that had long been corrected.";

    public override string Cause => "Each request paid the cache's timeout before it asked the database, and nothing remembered that the last calls had failed. Deletions made during the outage were lost, so Redis came back with old values and served them.";

    public override string Remedy => "A breaker opens after a few slow calls; from then on a read costs what a local miss costs, and one probe looks for Redis. Removals of that time are kept and made good on recovery, and each node distrusts its local copies until they are proved by version.";

    public override string Reported => "recovery 47 s";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = TimeSpan.FromSeconds(Math.Max(15, run.Length(15, 24).TotalSeconds)), Lanes = 1 };
        await using RedisServer server = await RedisServer.StartNewAsync();
        run.Say($"without the kit: two nodes, {Rate:N0} requests a second; Redis stalls at 3 s, is gone at 7 s and back at 11 s");
        Timeline naive = await ReplayNaiveAsync(plan, run, server);
        await run.SettleAsync();
        run.Say("with the kit: the same");
        Timeline kit = await ReplayKitAsync(plan, run, server);

        TimeSpan warm = TimeSpan.FromSeconds(1);
        (LoadFigures was, LoadFigures now) = (naive.Slice(Stalled, Back), kit.Slice(Stalled, Back));
        (double wasBefore, double nowBefore) = (naive.Slice(warm, Stalled).P99, kit.Slice(warm, Stalled).P99);
        double recovery = Recovery(kit, nowBefore);
        (int wasStale, int nowStale) = (naive.All().Wrong, kit.All().Wrong);
        PlotMark[] marks = [new(Stalled.TotalSeconds, "stalled", Gone.TotalSeconds), new(Gone.TotalSeconds, "gone", Back.TotalSeconds)];
        return new IncidentResult()
            .Row("requests", IncidentResult.Number(naive.All().Sent), IncidentResult.Number(kit.All().Sent))
            .Row("errors", IncidentResult.Number(naive.All().Failed), IncidentResult.Number(kit.All().Failed))
            .Row("p99 before", IncidentResult.Ms(wasBefore), IncidentResult.Ms(nowBefore))
            .Headline("p99 during the outage", IncidentResult.Ms(was.P99), IncidentResult.Ms(now.P99))
            .Row("mean during the outage", IncidentResult.Ms(was.Mean), IncidentResult.Ms(now.Mean))
            .Row("p99 from two seconds after", IncidentResult.Ms(naive.Slice(Back + Grace, plan.Duration).P99), IncidentResult.Ms(kit.Slice(Back + Grace, plan.Duration).P99))
            .Row("well again after", Seconds(Recovery(naive, wasBefore)), Seconds(recovery))
            .Row("old values shown", IncidentResult.Number(wasStale), IncidentResult.Number(nowStale))
            .Check("p99 during the outage at most twice that before it", "p99", $"{now.P99 / nowBefore:F1}x", now.P99 <= 2 * nowBefore)
            .Check("no errors", "errors", IncidentResult.Number(kit.All().Failed), kit.All().Failed == 0)
            .Check("well again within two seconds of Redis's return", "recovery", Seconds(recovery), recovery <= Grace.TotalSeconds)
            .Check("no old value after the recovery, and never one of a node's own changes", "stale", IncidentResult.Number(nowStale), nowStale == 0)
            .Add(new Plot("Latency, 99th percentile", "ms", marks) { Logarithmic = true }.Both(naive, kit, static figures => figures.P99))
            .Add(new Plot("Old values shown", "per second", marks).Both(naive, kit, static figures => figures.Wrong / figures.Seconds))
            .Add(new Plot("Queries at the database", "per second", marks).Both(naive, kit, "queries"))
            .Add(new Plot("Requests in flight", "requests", marks).Both(naive, kit, "in flight"));
    }

    private static async Task<Timeline> ReplayNaiveAsync(LoadPlan plan, ReplayRun run, RedisServer server)
    {
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        var stock = new Stock();
        var connections = new List<IConnectionMultiplexer>();
        var nodes = new List<Naive>();
        try
        {
            for (int node = 0; node < Nodes; node++)
            {
                connections.Add(await ConnectionMultiplexer.ConnectAsync($"{proxy.Endpoint},abortConnect=false,connectTimeout=500"));
                nodes.Add(new Naive(stock, connections[^1]));
            }

            return await LoadAsync(plan, run, proxy, stock, [.. nodes]);
        }
        finally
        {
            nodes.ForEach(static node => node.Dispose());
            connections.ForEach(static connection => connection.Dispose());
        }
    }

    private static async Task<Timeline> ReplayKitAsync(LoadPlan plan, ReplayRun run, RedisServer server)
    {
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        var stock = new Stock();
        var hosts = new List<KitHost>();
        try
        {
            for (int node = 0; node < Nodes; node++)
            {
                hosts.Add(await KitHost.StartAsync(services =>
                {
                    services.AddResilienceRedis(options => WithKit.Configure(options, proxy.Endpoint));
                    services.AddResilientCache(CacheName, WithKit.Configure);
                }));
            }

            return await LoadAsync(plan, run, proxy, stock, [.. hosts.Select(host => new WithKit(stock, host.Services.GetRequiredKeyedService<ResilientCache>(CacheName)))]);
        }
        finally
        {
            foreach (KitHost host in hosts)
            {
                await host.DisposeAsync();
            }
        }
    }

    private static async Task<Timeline> LoadAsync(LoadPlan plan, ReplayRun run, ChaosProxy proxy, Stock stock, params INode[] nodes)
    {
        foreach (INode node in nodes)
        {
            await Parallel.ForAsync(0, Stock.Items, async (item, cancellationToken) => await node.GetAsync(item, cancellationToken));
        }

        var expectations = new Expectations();
        var clock = System.Diagnostics.Stopwatch.StartNew();
        var timeline = new Timeline(plan);
        timeline.WatchRate("queries", () => stock.Source.Calls);
        await new OpenLoop(timeline, async (arrival, gone) =>
            {
                int item = (int)(Dice.Share((ulong)run.Seed, arrival.Index) * Stock.Items);
                int node = arrival.Index % nodes.Length;
                if (Dice.Share((ulong)run.Seed + 1, arrival.Index) < ChangeShare)
                {
                    int version = await nodes[node].ChangeAsync(item, gone);
                    expectations.Changed(item, node, version, clock.Elapsed);
                    return Reply.Ok;
                }

                bool isConnected = arrival.Due < Stalled || arrival.Due > Back + Grace;
                int least = expectations.Least(item, node, clock.Elapsed, isConnected);
                return (await nodes[node].GetAsync(item, gone)).Version >= least ? Reply.Ok : Reply.Wrong;
            })
            .At(Stalled, () => (proxy.ToServer.Stalled, proxy.ToClient.Stalled) = (true, true))
            .At(Gone, () =>
            {
                proxy.RefusesNew = true;
                proxy.Cut();
            })
            .At(Back, proxy.Heal)
            .RunAsync();
        return timeline;
    }

    /// <summary>Seconds from Redis's return to the first window from which on all is answered, rightly, about as quickly as before.</summary>
    private static double Recovery(Timeline timeline, double before)
    {
        TimeSpan window = timeline.Plan.Window;
        TimeSpan well = timeline.Plan.Duration;
        for (TimeSpan from = timeline.Plan.Duration - window; from >= Back; from -= window)
        {
            LoadFigures figures = timeline.Slice(from, from + window);
            if (figures.Success < 1 || figures.P99 > Math.Max(3 * before, before + 20)) // 240 requests a window: its p99 is its third slowest
            {
                break;
            }

            well = from;
        }

        return well == timeline.Plan.Duration ? double.PositiveInfinity : (well - Back).TotalSeconds;
    }

    private static string Seconds(double seconds) => double.IsPositiveInfinity(seconds) ? "never" : $"{seconds:F1} s";
}
