using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;
using Resilience.Pools;

namespace Resilience.Incidents.Incidents.LogBatching;

internal sealed class LogBatchingIncident : Incident
{
    private const int Writers = 8;
    private const string WriterName = "audit";

    public override string Name => "log-batching";

    public override string Title => "An audit trail flushed line by line";

    public override string Happened => "With the audit trail switched on, the service did a fraction of what it did without, and its response times were those of the disk.";

    public override string Cause => "Each line was written and flushed on its own, under a lock, before its request could go on.";

    public override string Remedy => "Requests hand their lines over and go on; one loop writes a thousand with one flush, or fewer when the oldest has waited long enough. The queue is bounded and pushes back; at shutdown it is written to the last line.";

    public override string Reported => "6.2x the throughput at batches of 1,000";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        TimeSpan length = run.Length(4, 10);
        string folder = Directory.CreateTempSubdirectory("resilience-incidents-").FullName;
        try
        {
            run.Say($"without the kit: {Writers} requests at a time for {length.TotalSeconds:F0} s");
            string naivePath = Path.Combine(folder, "naive.log");
            Written naive;
            long naiveFlushes;
            using (var file = new AuditFile(naivePath))
            {
                naive = await WriteAsync(length, new Naive(file).WriteAsync);
                naiveFlushes = file.Flushes;
            }

            await run.SettleAsync();
            run.Say("with the kit: the same");
            string kitPath = Path.Combine(folder, "kit.log");
            Written kit;
            long kitFlushes;
            long start = Stopwatch.GetTimestamp();
            using (var file = new AuditFile(kitPath))
            {
                await using (KitHost host = await KitHost.StartAsync(services => services.AddBatchWriter<AuditEntry>(WriterName, _ => (entries, _) => WithKit.WriteBatchAsync(file, entries), configure: WithKit.Configure)))
                {
                    var service = new WithKit(host.Services.GetRequiredKeyedService<BatchWriter<AuditEntry>>(WriterName));
                    start = Stopwatch.GetTimestamp();
                    kit = await WriteAsync(length, service.WriteAsync);
                } // the host stops while entries are still queued

                kitFlushes = file.Flushes;
            }

            double kitSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds; // until the last line was on the disk
            double naiveRate = naive.Items / length.TotalSeconds;
            double kitRate = kit.Items / kitSeconds;
            long lost = kit.Items - File.ReadLines(kitPath).LongCount();
            return new IncidentResult()
                .Row("entries accepted", IncidentResult.Number(naive.Items), IncidentResult.Number(kit.Items))
                .Headline("entries a second, on the disk", IncidentResult.Number(naiveRate), IncidentResult.Number(kitRate))
                .Row("entries a flush", "1", IncidentResult.Number((double)kit.Items / kitFlushes))
                .Row("flushes", IncidentResult.Number(naiveFlushes), IncidentResult.Number(kitFlushes))
                .Row("a request's wait, p50", IncidentResult.Ms(naive.Waits.Percentile(0.5)), IncidentResult.Ms(kit.Waits.Percentile(0.5)))
                .Row("a request's wait, p99", IncidentResult.Ms(naive.Waits.Percentile(0.99)), IncidentResult.Ms(kit.Waits.Percentile(0.99)))
                .Row("accepted entries missing after shutdown", IncidentResult.Number(naive.Items - File.ReadLines(naivePath).LongCount()), IncidentResult.Number(lost))
                .Check("at least ten times the entries a second, counted until the last is on the disk", "factor", $"{kitRate / naiveRate:F1}x", kitRate >= 10 * naiveRate)
                .Check("nothing that was accepted is lost at shutdown", "lost", IncidentResult.Number(lost), lost == 0)
                .Add(new Plot("Entries accepted", "per 100 ms", []) { Logarithmic = true }.Line("without the kit", PlotSide.Naive, naive.Series).Line("with the kit", PlotSide.Kit, kit.Series));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A closed loop on purpose: the question is how much goes through.</summary>
    private static async Task<Written> WriteAsync(TimeSpan length, Func<AuditEntry, ValueTask> writeAsync)
    {
        var waits = new LatencyHistogram();
        var windows = new int[(int)(length.TotalMilliseconds / 100) + 1];
        long items = 0;
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
        {
            for (int order = writer; ; order += Writers)
            {
                TimeSpan before = Stopwatch.GetElapsedTime(start);
                if (before >= length)
                {
                    return;
                }

                await writeAsync(new AuditEntry(order, "customer-4711", "order placed; 3 items; paid by card"));
                waits.Add(Stopwatch.GetElapsedTime(start) - before);
                Interlocked.Increment(ref windows[(int)(before.TotalMilliseconds / 100)]);
                Interlocked.Increment(ref items);
            }
        })));
        return new Written(items, waits, [.. windows.Take(windows.Length - 1).Select(static (count, window) => new PlotPoint((window + 0.5) / 10, count))]);
    }

    private sealed record Written(long Items, LatencyHistogram Waits, IReadOnlyList<PlotPoint> Series);
}
