using System.Diagnostics;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.ContextLeak;

internal sealed class ContextLeakIncident : Incident
{
    private const int Requests = 1_000_000;
    private const int Checkpoints = 10;
    private const int Workers = 2;

    public override string Name => "context-leak";

    public override string Title => "A request's context that outlives the request";

    public override string Happened => "The old generation filled to 98 % within hours of every restart. Full collections came ever more often, the mean response time went from 120 to 850 ms, and nobody found a list or a cache that grew.";

    public override string Cause => "The request's session was kept in an AsyncLocal and cleared at the end. But timers, registrations and pending waits capture the ExecutionContext of the moment they are made, and clearing does not reach what is captured: one forgotten half-hour timer keeps a whole session.";

    public override string Remedy => "What the context holds is the scope, one small object with one reference. Ending the scope empties that reference, and with it every captured context at once, whoever still holds it.";

    public override string Reported => "old generation 98 % → 65 %, mean 850 → 120 ms";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        Growth naive = await MeasureAsync(run, "without the kit", static reminders => new Naive(reminders));
        Growth kit = await MeasureAsync(run, "with the kit", static reminders => new WithKit(reminders));
        Growth control = await MeasureAsync(run, "the reminders alone", static reminders => new TimersAlone(reminders));

        double ownNaive = naive.BytesPerRequest - control.BytesPerRequest;
        double ownKit = kit.BytesPerRequest - control.BytesPerRequest;
        double perCapture = ownKit * Requests / kit.Timers;
        return new IncidentResult()
            .Row("requests", IncidentResult.Number(Requests), IncidentResult.Number(Requests))
            .Row("timers left behind", IncidentResult.Number(naive.Timers), IncidentResult.Number(kit.Timers))
            .Headline("live heap at the end", $"{naive.Points[^1].Y:F1} MB", $"{kit.Points[^1].Y:F1} MB")
            .Row("of that, the timers themselves", $"{control.Points[^1].Y:F1} MB", $"{control.Points[^1].Y:F1} MB")
            .Row("growth a request, timers apart", $"{ownNaive:F1} B", $"{ownKit:F2} B")
            .Row("kept for each timer", $"{ownNaive * Requests / naive.Timers:F0} B", $"{perCapture:F0} B")
            .Row("full collection at the end", IncidentResult.Ms(naive.FullPause), IncidentResult.Ms(kit.FullPause))
            .Check("live heap flat: at most 1 B a request beyond the timers", "growth", $"{ownKit:F2} B/request", ownKit <= 1)
            .Check("a captured context keeps at most 100 B of an ended scope", "residue", $"{perCapture:F0} B", perCapture <= 100)
            .Check("without the kit the heap grows by the payload", "naive", $"{ownNaive:F1} B/request", ownNaive > 0.8 * Session.PayloadBytes / 100)
            .Add(new Plot("Live heap after full collections", "MB", []) { XLabel = "thousand requests" }
                .Line("without the kit", PlotSide.Naive, naive.Points)
                .Line("with the kit", PlotSide.Kit, kit.Points)
                .Line("the timers alone", PlotSide.Other, control.Points));
    }

    private static async Task<Growth> MeasureAsync(ReplayRun run, string side, Func<Reminders, IOrders> make)
    {
        run.Say($"{side}: {Requests:N0} requests");
        var reminders = new Reminders();
        IOrders orders = make(reminders);
        await ServeAsync(orders, 1, 10_001); // warm up; 1 % of these leave their timers in the base line
        var points = new List<PlotPoint>();
        long floor = LiveHeap.Bytes();
        int before = reminders.Count;
        for (int i = 0; i < Checkpoints; i++)
        {
            await ServeAsync(orders, i * (Requests / Checkpoints), (i + 1) * (Requests / Checkpoints));
            points.Add(new PlotPoint((i + 1) * Requests / Checkpoints / 1000.0, (LiveHeap.Bytes() - floor) / 1e6));
        }

        long start = Stopwatch.GetTimestamp();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: false);
        double pause = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        var growth = new Growth(points, LiveHeap.Slope(points) * 1e6 / 1000, reminders.Count - before, pause);
        reminders.Clear();
        return growth;
    }

    private static Task ServeAsync(IOrders orders, int from, int to) =>
        Task.WhenAll(Enumerable.Range(0, Workers).Select(worker => Task.Run(async () =>
        {
            for (int order = from + worker; order < to; order += Workers)
            {
                await orders.HandleAsync(order);
            }
        })));

    private sealed record Growth(IReadOnlyList<PlotPoint> Points, double BytesPerRequest, int Timers, double FullPause);
}
