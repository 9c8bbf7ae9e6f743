using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.GatewayPointer;

internal sealed class GatewayPointerIncident : Incident
{
    private const int Payments = 3_000;
    private const int Late = 600;
    private const int Step = 300;
    private const int Callers = 8;

    public override string Name => "gateway-pointer";

    public override string Title => "One pointer to a request in a background job";

    public override string Happened => "When the audit store was slow, the gateway's memory grew by gigabytes and it was killed. What the audit had written until then named the wrong requests.";

    public override string Cause => "The background job was a lambda that mentioned the request's context. It kept the whole request alive, body and buffers included, and read from it after the server had already given it to the next caller.";

    public override string Remedy => "A snapshot copies the few values that are wanted, and a detached scope goes with the work: an id, a deadline, nothing else. The queue is bounded, and it refuses captured requests and disposables on sight.";

    public override string Reported => "no figure; gateways that were killed while the audit was behind";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        run.Say($"without the kit: {Payments:N0} payments while the audit store stands still");
        var naiveStore = new AuditStore();
        var naiveService = new Naive(naiveStore);
        Outcome naive;
        await using (Gateway gateway = await Gateway.StartAsync(static _ => { }, static _ => { }, naiveService.PayAsync))
        {
            naive = await LoadAsync(gateway, naiveStore, naiveService.DrainAsync);
        }

        await run.SettleAsync();
        run.Say("with the kit: the same");
        var kitStore = new AuditStore();
        Outcome kit;
        WithKit? kitService = null;
        await using (Gateway gateway = await Gateway.StartAsync(
            static services =>
            {
                services.AddRequestScopes();
                services.AddBackgroundWorkQueue("audit", static queue => (queue.Capacity, queue.Workers) = (Payments * 2, 1));
            },
            static app => app.UseRequestScopes(),
            (context, body) => kitService!.PayAsync(context, body)))
        {
            BackgroundWorkQueue queue = gateway.Services.GetRequiredKeyedService<BackgroundWorkQueue>("audit");
            kitService = new WithKit(kitStore, queue);
            kit = await LoadAsync(gateway, kitStore, async () =>
            {
                while (queue.Run + queue.Abandoned < queue.Accepted)
                {
                    await Task.Delay(10);
                }
            });
        }

        return new IncidentResult()
            .Row("payments", IncidentResult.Number(Payments), IncidentResult.Number(Payments))
            .Row("kept alive for each audit that waits", $"{naive.BytesPerPayment:N0} B", $"{kit.BytesPerPayment:N0} B")
            .Headline("audit lines that are true", IncidentResult.Number(naive.True), IncidentResult.Number(kit.True))
            .Row("audit lines of another request or of none", IncidentResult.Number(naive.Untrue), IncidentResult.Number(kit.Untrue))
            .Row("audit lines that could not be written", IncidentResult.Number(naive.Failed), IncidentResult.Number(kit.Failed))
            .Check("an audit that waits keeps at most 1,500 B, not the request", "kept", $"{kit.BytesPerPayment:N0} B", kit.BytesPerPayment <= 1_500)
            .Check("every line of the audit is true", "true", $"{kit.True} of {Payments}", kit.True == Payments)
            .Check("without the kit requests are kept and lines are wrong", "naive", $"{naive.BytesPerPayment:N0} B, {Payments - naive.True} wrong", naive.BytesPerPayment > 1_500 && naive.True < Payments)
            .Add(new Plot("Live heap while the audit store stands still", "MB", []) { XLabel = "payments" }.Line("without the kit", PlotSide.Naive, naive.Heap).Line("with the kit", PlotSide.Kit, kit.Heap));
    }

    private static async Task<Outcome> LoadAsync(Gateway gateway, AuditStore store, Func<Task> drainAsync)
    {
        using var kept = new HttpClient { BaseAddress = gateway.Address };
        using var balanced = new HttpClient { BaseAddress = gateway.Address };
        HttpClient[] clients = [kept, balanced];
        var body = new byte[Gateway.BodyBytes];
        await PayAsync(clients, body, 0, 100);
        long floor = LiveHeap.Bytes();
        var heap = new List<PlotPoint>();
        for (int from = 100; from < Payments - Late; from += Step)
        {
            await PayAsync(clients, body, from, Math.Min(from + Step, Payments - Late));
            await Task.Delay(50); // connections that were closed are taken down
            heap.Add(new PlotPoint(Math.Min(from + Step, Payments - Late), (LiveHeap.Bytes() - floor) / 1e6));
        }

        double perPayment = LiveHeap.Slope(heap) * 1e6;
        store.Open();
        await PayAsync(clients, body, Payments - Late, Payments); // the audit works off what has gathered, while payments go on
        await drainAsync();
        int good = store.Lines.Count(static line => line.Split(' ') is [var payment, var path] && path == $"/pay/{payment}");
        return new Outcome(heap, perPayment, good, store.Lines.Count - good, Payments - store.Lines.Count);
    }

    /// <summary>Half of the callers keep their connection, half come through a balancer that opens one for each request.</summary>
    private static Task PayAsync(HttpClient[] clients, byte[] body, int from, int to) =>
        Task.WhenAll(Enumerable.Range(0, Callers).Select(async caller =>
        {
            for (int payment = from + caller; payment < to; payment += Callers)
            {
                using var request = new HttpRequestMessage(HttpMethod.Post, $"/pay/{payment}") { Content = new ByteArrayContent(body) };
                request.Headers.Add("X-Payment", payment.ToString());
                request.Headers.ConnectionClose = caller % 2 == 1;
                using HttpResponseMessage response = await clients[caller % 2].SendAsync(request);
                response.EnsureSuccessStatusCode();
            }
        }));

    private sealed record Outcome(IReadOnlyList<PlotPoint> Heap, double BytesPerPayment, int True, int Untrue, int Failed);
}
