using System.Diagnostics;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.Overload;

/// <summary>
/// Finds out what a service can do, then asks for ten and for thirty times as much, of the service without the kit and with it. The load
/// comes from this process and shares the machine's cores with the service, as it did when the capacity was measured.
/// </summary>
internal sealed class OverloadReplay(ReplayRun run, string service, int capacityWorkers, IReadOnlyDictionary<string, string?>? environment = null)
{
    private const double Calm = 0.5;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Step = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(2);

    private bool _naiveDied;

    public async Task<IncidentResult> RunAsync()
    {
        // A service without the kit stands by for the whole replay, to say what the machine can do at the moment.
        await using OverloadedService idle = await OverloadedService.StartAsync(service, "naive", environment);
        await CapacityAsync(idle); // compiles
        double capacity = await CapacityAsync(idle);
        run.Say($"capacity {capacity:F0} requests a second");
        Overloaded ten = await CompareAsync(idle, capacity, 10);
        Overloaded thirty = await CompareAsync(idle, capacity, 30);
        PlotMark[] marks = [new(Step.TotalSeconds, "overload begins")];
        return Judge(new IncidentResult(), ten, thirty)
            .Add(Goodput("Useful answers at 10x, as a share of capacity", ten, marks))
            .Add(Goodput("Useful answers at 30x, as a share of capacity", thirty, marks))
            .Add(new Plot("Critical requests answered at 10x", "%", marks) { Max = 100 }.Both(ten.Naive, ten.Kit, static figures => figures.Success * 100, Traffic.Critical))
            .Add(new Plot("Critical requests answered at 30x", "%", marks) { Max = 100 }.Both(thirty.Naive, thirty.Kit, static figures => figures.Success * 100, Traffic.Critical))
            .Add(new Plot("Latency of what was not refused at 10x, 99th percentile", "ms", marks) { Logarithmic = true }.Both(ten.Naive, ten.Kit, static figures => figures.P99))
            .Add(new Plot("Latency of what was not refused at 30x, 99th percentile", "ms", marks) { Logarithmic = true }.Both(thirty.Naive, thirty.Kit, static figures => figures.P99));
    }

    private static Plot Goodput(string title, Overloaded at, PlotMark[] marks) =>
        new Plot(title, "% of capacity", marks).Both(at.Naive, at.Kit, figures => figures.Goodput / at.Capacity * 100);

    private IncidentResult Judge(IncidentResult result, Overloaded ten, Overloaded thirty)
    {
        foreach ((string name, Overloaded at) in new[] { ("10x", ten), ("30x", thirty) })
        {
            (LoadFigures was, LoadFigures now) = (At(at.Naive), At(at.Kit));
            (LoadFigures wasCritical, LoadFigures nowCritical) = (At(at.Naive, Traffic.Critical), At(at.Kit, Traffic.Critical));
            result
                .Row($"{name}: capacity at that time, of the service without the kit", $"{at.Capacity:F0} /s", $"{at.Capacity:F0} /s")
                .Row($"{name}: goodput, share of capacity", IncidentResult.Percent(was.Goodput / at.Capacity, 1), IncidentResult.Percent(now.Goodput / at.Capacity, 1))
                .Headline($"{name}: critical answered", IncidentResult.Percent(wasCritical.Success, 1), IncidentResult.Percent(nowCritical.Success, 1))
                .Row($"{name}: refused / failed", $"{was.Refused:N0} / {was.Failed:N0}", $"{now.Refused:N0} / {now.Failed:N0}")
                .Row($"{name}: p99 of what was not refused", IncidentResult.Ms(was.P99), IncidentResult.Ms(now.P99))
                .Row($"{name}: p99 of a refusal", "–", IncidentResult.Ms(now.RefusalP99));
        }

        if (_naiveDied)
        {
            result.Row("the process", "died", "lives");
        }

        (double goodputTen, double goodputThirty) = (At(ten.Kit).Goodput / ten.Capacity, At(thirty.Kit).Goodput / thirty.Capacity);
        (double criticalTen, double criticalThirty) = (At(ten.Kit, Traffic.Critical).Success, At(thirty.Kit, Traffic.Critical).Success);
        (double p99Ten, double p99Thirty) = (At(ten.Kit).P99, At(thirty.Kit).P99);
        double naive = At(ten.Naive).Goodput / ten.Capacity;
        return result
            .Check("10x: goodput at least 80 % of capacity", "goodput10", IncidentResult.Percent(goodputTen, 1), goodputTen >= 0.8)
            .Check("10x: at least 98 % of what is critical is answered", "critical10", IncidentResult.Percent(criticalTen, 1), criticalTen >= 0.98)
            .Check("10x: p99 of what was accepted within its deadline of a second", "p99-10", IncidentResult.Ms(p99Ten), p99Ten < Patience.TotalMilliseconds)
            .Check("30x: goodput at least 50 % of capacity", "goodput30", IncidentResult.Percent(goodputThirty, 1), goodputThirty >= 0.5)
            .Check("30x: at least 95 % of what is critical is answered", "critical30", IncidentResult.Percent(criticalThirty, 1), criticalThirty >= 0.95)
            .Check("30x: p99 of what was accepted within its deadline", "p99-30", IncidentResult.Ms(p99Thirty), p99Thirty < Patience.TotalMilliseconds)
            .Check("without the kit goodput collapses at 10x", "naive10", IncidentResult.Percent(naive, 1), naive < 0.5);
    }

    /// <summary>What happened once the first two seconds of the overload were over.</summary>
    private static LoadFigures At(Timeline timeline, int? lane = null) => timeline.Slice(Step + Settling, timeline.Plan.Duration, lane);

    private async Task<Overloaded> CompareAsync(OverloadedService idle, double capacity, double times)
    {
        run.Say($"{times:F0}x without the kit");
        Timeline naive = await LoadAsync("naive", capacity, times);
        await run.SettleAsync();
        double before = await CapacityAsync(idle);
        run.Say($"{times:F0}x with the kit");
        Timeline kit = await LoadAsync("kit", capacity, times);
        await run.SettleAsync();
        double after = await CapacityAsync(idle);
        run.Say($"capacity {before:F0} before, {after:F0} after");
        return new Overloaded(naive, kit, (before + after) / 2); // a virtual machine is not equally fast all the time
    }

    private async Task<Timeline> LoadAsync(string side, double capacity, double times)
    {
        await using OverloadedService target = await OverloadedService.StartAsync(service, side, environment);
        await WorkAsync(target, capacityWorkers / 2, TimeSpan.FromSeconds(1)); // everything is compiled and connected
        var plan = new LoadPlan
        {
            Rate = at => capacity * (at < Step ? Calm : times),
            Duration = run.Length(10, 15),
            Patience = Patience,
            Lanes = Traffic.Paths.Length,
        };
        double criticalShare = 0.5 / times;
        var timeline = new Timeline(plan);
        await new OpenLoop(timeline, arrival => Traffic.Lane((ulong)run.Seed, arrival.Index, criticalShare), (arrival, gone) => target.AskAsync(Traffic.Lane((ulong)run.Seed, arrival.Index, criticalShare), gone)).RunAsync();
        _naiveDied |= side == "naive" && target.HasDied;
        return timeline;
    }

    /// <summary>Useful answers a second when nobody asks for more than it can do.</summary>
    private async Task<double> CapacityAsync(OverloadedService idle)
    {
        var length = TimeSpan.FromSeconds(2);
        return await WorkAsync(idle, capacityWorkers, length) / length.TotalSeconds;
    }

    /// <summary>A closed loop: each worker asks again as soon as it has its answer. Returns how many were useful.</summary>
    private async Task<int> WorkAsync(OverloadedService target, int workers, TimeSpan length)
    {
        int answered = 0;
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, workers).Select(async worker =>
        {
            for (int i = worker; Stopwatch.GetElapsedTime(start) < length; i += workers)
            {
                if (await target.AskAsync(Traffic.Lane((ulong)run.Seed, i, 0.05), CancellationToken.None) == Reply.Ok)
                {
                    Interlocked.Increment(ref answered);
                }
            }
        }));
        return answered;
    }

    /// <param name="Naive">What happened without the kit.</param>
    /// <param name="Kit">What happened with it.</param>
    /// <param name="Capacity">What the service without the kit could do, measured before and after the run with it.</param>
    private sealed record Overloaded(Timeline Naive, Timeline Kit, double Capacity);
}
