using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.ObjectReuse;

internal sealed class ObjectReuseIncident : Incident
{
    private const double Rate = 600;

    public override string Name => "object-reuse";

    public override string Title => "Buffers that are made, used once and dropped";

    public override string Happened => "Response times had a saw's teeth in them. A profile showed a fifth of the time in the garbage collector and nothing wrong anywhere else.";

    public override string Cause => "Every request built its answer three times over in large buffers and dropped them.";

    public override string Remedy => "What is costly to make and easy to clean is reused, behind a lease that knows whether it has ended.";

    public override string Reported => "allocations −60 %, GC pause −40 %";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(5, 20) };
        run.Say($"without the kit: {Rate:N0} invoices a second");
        Cost naive = await MeasureAsync(plan, new Naive());
        await run.SettleAsync();
        run.Say("with the kit: the same");
        Cost kit = await MeasureAsync(plan, new WithKit());

        double saved = 1 - (kit.Bytes / naive.Bytes);
        double pauses = naive.Pause > TimeSpan.Zero ? 1 - (kit.Pause / naive.Pause) : 0;
        return new IncidentResult()
            .Row("invoices", IncidentResult.Number(naive.Timeline.All().Sent), IncidentResult.Number(kit.Timeline.All().Sent))
            .Headline("allocated an invoice, the load's own included", $"{naive.Bytes:N0} B", $"{kit.Bytes:N0} B")
            .Row("collections", IncidentResult.Number(naive.Collections), IncidentResult.Number(kit.Collections))
            .Row("pauses in all", IncidentResult.Ms(naive.Pause.TotalMilliseconds), IncidentResult.Ms(kit.Pause.TotalMilliseconds))
            .Row("pauses less by", "–", IncidentResult.Percent(pauses, 0))
            .Row("p99", IncidentResult.Ms(naive.Timeline.All().P99), IncidentResult.Ms(kit.Timeline.All().P99))
            .Check("at least 60 % fewer bytes allocated", "allocated", $"-{IncidentResult.Percent(saved, 1)}", saved >= 0.6)
            .Check("every invoice is whole", "success", IncidentResult.Percent(kit.Timeline.All().Success), kit.Timeline.All().Success >= 1)
            .Add(new Plot("Allocated", "MB a second", []).Both(naive.Timeline, kit.Timeline, "allocated"))
            .Add(new Plot("Collector's pauses", "ms a second", []).Both(naive.Timeline, kit.Timeline, "pauses"));
    }

    private static async Task<Cost> MeasureAsync(LoadPlan plan, IInvoices invoices)
    {
        for (int number = 0; number < 500; number++)
        {
            invoices.Send(number, Stream.Null); // compiled and, where there is a pool, filled
        }

        var timeline = new Timeline(plan);
        timeline.WatchRate("allocated", static () => GC.GetTotalAllocatedBytes() / 1_000_000);
        timeline.WatchRate("pauses", static () => (long)GC.GetTotalPauseDuration().TotalMilliseconds);
        LiveHeap.Bytes();
        (long bytes, TimeSpan pause, int collections) = (GC.GetTotalAllocatedBytes(precise: true), GC.GetTotalPauseDuration(), GC.CollectionCount(0));
        await new OpenLoop(timeline, (arrival, _) => ValueTask.FromResult(invoices.Send(arrival.Index, Stream.Null) > 20_000 ? Reply.Ok : Reply.Wrong)).RunAsync();
        int sent = timeline.All().Sent;
        return new Cost(timeline, (double)(GC.GetTotalAllocatedBytes(precise: true) - bytes) / sent, GC.GetTotalPauseDuration() - pause, GC.CollectionCount(0) - collections);
    }

    private sealed record Cost(Timeline Timeline, double Bytes, TimeSpan Pause, int Collections);
}
