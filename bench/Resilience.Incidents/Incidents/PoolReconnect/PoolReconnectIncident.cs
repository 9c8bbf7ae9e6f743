using Microsoft.Extensions.DependencyInjection;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;
using Resilience.Pools;

namespace Resilience.Incidents.Incidents.PoolReconnect;

internal sealed class PoolReconnectIncident : Incident
{
    private const double Rate = 900;
    private const int MaxConcurrentCreates = 2;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1.5);
    private static readonly TimeSpan Down = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Up = TimeSpan.FromSeconds(5);

    public override string Name => "pool-reconnect";

    public override string Title => "A server that cannot come back for all who wait for it";

    public override string Happened => "The database failed over in seconds. The service stayed down for many minutes: the new primary was busy with nothing but logins, and only stopping the clients let it recover.";

    public override string Cause => "Every process of the service opened all its connections at once. A login is dear, the line grew past the clients' connect timeout, each client hung up and asked again, and the server went on finishing logins for clients that had left.";

    public override string Remedy => "A pool opens a few connections at a time, with a pause that grows and is jittered while they fail; a login that its caller no longer waits for still lands in the pool; and while the server is known to be down one probe asks for it, and everybody else is told at once.";

    public override string Reported => "no figure; the mechanism is in every driver's list of issues";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(10, 20), Patience = Patience };
        run.Say("without the kit: six processes, the server down from 3 to 5 s");
        var naiveServer = new Server();
        Timeline before = await LoadAsync(plan, naiveServer, [.. Enumerable.Range(0, Fleet.Nodes).Select(_ => new Naive(naiveServer))]);

        await Task.Delay(Patience); // what is still asking ends
        await run.SettleAsync();
        run.Say("with the kit: the same");
        var kitServer = new Server();
        await using KitHost host = await KitHost.StartAsync(services =>
        {
            for (int node = 0; node < Fleet.Nodes; node++)
            {
                services.AddResourcePool($"node{node}", _ => WithKit.Factory(kitServer));
                services.Configure<PoolOptions>($"node{node}", static options =>
                {
                    options.MaxSize = Fleet.PoolSize;
                    options.MinIdle = Fleet.MinPoolSize;
                    options.WarmUp = true;
                    options.AcquireTimeout = TimeSpan.FromSeconds(1);
                    options.CreateTimeout = Fleet.ConnectTimeout;
                    options.MaxConcurrentCreates = MaxConcurrentCreates;
                    options.ValidateOnAcquireAfter = TimeSpan.Zero;
                });
            }
        });
        Timeline after = await LoadAsync(plan, kitServer, [.. Enumerable.Range(0, Fleet.Nodes).Select(node => new WithKit(host.Services.GetRequiredKeyedService<ResourcePool<Server.Session>>($"node{node}")))]);

        double naiveRecovery = Recovery(before);
        double kitRecovery = Recovery(after);
        double naivePeak = PeakAfterReturn(before);
        double kitPeak = PeakAfterReturn(after);
        LoadFigures kitAfter = after.Slice(Up + TimeSpan.FromSeconds(1), plan.Duration);
        PlotMark[] marks = [new(Down.TotalSeconds, "server down", Up.TotalSeconds)];
        return new IncidentResult()
            .Row("requests", IncidentResult.Number(before.All().Sent), IncidentResult.Number(after.All().Sent))
            .Row("success before the server went down", IncidentResult.Percent(before.Slice(TimeSpan.Zero, Down).Success), IncidentResult.Percent(after.Slice(TimeSpan.Zero, Down).Success))
            .Row("success over all", IncidentResult.Percent(before.All().Success), IncidentResult.Percent(after.All().Success))
            .Row("most logins asked for at once, server back", IncidentResult.Number(naivePeak), IncidentResult.Number(kitPeak))
            .Row("logins asked for in all", IncidentResult.Number(naiveServer.Attempts), IncidentResult.Number(kitServer.Attempts))
            .Headline("well again after the server's return", Seconds(naiveRecovery), Seconds(kitRecovery))
            .Row("p99 from a second after the return", IncidentResult.Ms(before.Slice(Up + TimeSpan.FromSeconds(1), plan.Duration).P99), IncidentResult.Ms(kitAfter.P99))
            .Check("well again within a second of the server's return", "recovery", Seconds(kitRecovery), kitRecovery <= 1)
            .Check($"never more logins at once than {Fleet.Nodes} pools × {MaxConcurrentCreates}", "logins", IncidentResult.Number(kitPeak), kitPeak <= Fleet.Nodes * MaxConcurrentCreates)
            .Check("nobody waits beyond the deadline", "slowest", IncidentResult.Ms(after.All().Max), after.All().Max < Patience.TotalMilliseconds)
            .Logged(host.LogOf(after))
            .AddLoadPlots(before, after, marks)
            .Add(new Plot("Clients asking to log in", "at once", marks).Both(before, after, "logins"))
            .Add(new Plot("Requests in flight", "requests", marks).Both(before, after, "in flight"));
    }

    private static async Task<Timeline> LoadAsync(LoadPlan plan, Server server, INode[] nodes)
    {
        var timeline = new Timeline(plan);
        timeline.Watch("logins", () => server.TakePeak());
        await Task.WhenAll(nodes.Select(static node => node.WarmUpAsync()));
        await new OpenLoop(timeline, async (arrival, gone) =>
            {
                await nodes[arrival.Index % nodes.Length].ServeAsync(gone);
                return Reply.Ok;
            })
            .At(Down, server.GoDown)
            .At(Up, server.ComeBack)
            .RunAsync();
        return timeline;
    }

    /// <summary>Seconds from the server's return to the first window from which on nearly everybody is served.</summary>
    private static double Recovery(Timeline timeline)
    {
        TimeSpan window = timeline.Plan.Window;
        TimeSpan well = timeline.Plan.Duration;
        for (TimeSpan from = timeline.Plan.Duration - window; from >= Up && timeline.Slice(from, from + window).Success >= 0.99; from -= window)
        {
            well = from;
        }

        return well == timeline.Plan.Duration ? double.PositiveInfinity : (well - Up).TotalSeconds;
    }

    private static double PeakAfterReturn(Timeline timeline) => timeline.Series("logins").Where(static point => point.X > Up.TotalSeconds).Max(static point => point.Y);

    private static string Seconds(double seconds) => double.IsPositiveInfinity(seconds) ? "never" : $"{seconds:F1} s";
}
