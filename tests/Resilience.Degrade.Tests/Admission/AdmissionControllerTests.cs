using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Admission;

public sealed class AdmissionControllerTests
{
    [Fact]
    public async Task TryEnter_Cold_AdmitsUpToTheCeiling()
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        int ceiling = admission.LimitOf(Priority.Normal);
        Assert.True(ceiling >= 64);
        for (int i = 0; i < ceiling; i++)
        {
            Assert.Equal(AdmissionResult.Admitted, admission.TryEnter(Priority.Normal, out _));
        }

        Assert.Equal(AdmissionResult.RefusedByLoad, admission.TryEnter(Priority.Normal, out AdmissionTicket none));
        Assert.Equal(AdmissionResult.Admitted, admission.TryEnter(Priority.Critical, out _));
        Assert.Equal(ceiling + 1, admission.Inside);
        admission.Leave(none, AdmissionOutcome.Success);
        Assert.Equal(ceiling + 1, admission.Inside);
    }

    [Fact]
    public async Task TryEnter_Hot_LeavesRoomForWhatMatters()
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        Heat(admission);
        Assert.True(admission.IsHot);
        int[] limits = [.. Enum.GetValues<Priority>().Select(admission.LimitOf)];
        Assert.Equal(limits.OrderDescending(), limits);
        Assert.Equal(4, limits.Distinct().Count());
    }

    [Theory]
    [InlineData(PressureLevel.Elevated, new[] { AdmissionResult.Admitted, AdmissionResult.Admitted, AdmissionResult.RefusedByPressure, AdmissionResult.RefusedByPressure })]
    [InlineData(PressureLevel.High, new[] { AdmissionResult.Admitted, AdmissionResult.RefusedByPressure, AdmissionResult.RefusedByPressure, AdmissionResult.RefusedByPressure })]
    [InlineData(PressureLevel.Critical, new[] { AdmissionResult.Admitted, AdmissionResult.RefusedByPressure, AdmissionResult.RefusedByPressure, AdmissionResult.RefusedByPressure })]
    public async Task TryEnter_MemoryPresses_RefusesByPriority(PressureLevel level, AdmissionResult[] expected)
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        ((ITickListener)admission).Tick(new SystemSample(0, 100, 0, 0.9, 0, 0), level, 0.9);
        Assert.Equal(expected, Enum.GetValues<Priority>().Select(priority => admission.TryEnter(priority, out _)));
    }

    [Fact]
    public async Task TryEnter_DryRun_CountsAndLetsIn()
    {
        await using DegradeHost host = await StartAsync(new() { ["Admission:DryRun"] = "true" });
        AdmissionController admission = Controller(host);
        ((ITickListener)admission).Tick(new SystemSample(0, 100, 0, 0.9, 0, 0), PressureLevel.High, 0.9);
        Assert.Equal(AdmissionResult.Admitted, admission.TryEnter(Priority.Low, out AdmissionTicket ticket));
        Assert.Equal(1, admission.Count(Priority.Low, AdmissionResult.RefusedByPressure));
        admission.Leave(ticket, AdmissionOutcome.Success);
        Assert.Equal(0, admission.Inside);
        Assert.Equal(0, admission.Count(Priority.Low, AdmissionResult.Admitted));
    }

    [Fact]
    public async Task Enabled_SwitchedOffLive_AdmitsAll()
    {
        await using DegradeHost host = await StartAsync(new() { ["Admission:Enabled"] = "true" });
        AdmissionController admission = Controller(host);
        host.Reload(new() { ["Admission:Enabled"] = "false" });
        ((ITickListener)admission).Tick(new SystemSample(0, 100, 1, 1, 9_000, 0), PressureLevel.Critical, 1);
        for (int i = 0; i < 10_000; i++)
        {
            Assert.Equal(AdmissionResult.Admitted, admission.TryEnter(Priority.Bulk, out _));
        }
    }

    [Fact]
    public async Task TryEnter_AndLeave_AllocateNothing()
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        AllocationAssert.AtMost(0, () =>
        {
            admission.TryEnter(Priority.Critical, out AdmissionTicket ticket);
            admission.Leave(ticket, AdmissionOutcome.Success);
        });
        ((ITickListener)admission).Tick(new SystemSample(0, 100, 0, 0.9, 0, 0), PressureLevel.High, 0.9);
        AllocationAssert.AtMost(0, () => admission.TryEnter(Priority.Low, out _));
    }

    [Fact]
    public async Task Stress_EveryTicketHandedBack_NobodyIsLeftInsideAndTheBoundsHold()
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        Heat(admission);
        int bound = admission.LimitOf(Priority.Critical) + (64 * Environment.ProcessorCount);
        var stress = new StressRunner { Workers = 4 };
        stress.Run(worker =>
        {
            var tickets = new List<AdmissionTicket>();
            for (int i = 0; i < 40; i++)
            {
                if (admission.TryEnter((Priority)((worker.Iteration + i) % 4), out AdmissionTicket ticket) == AdmissionResult.Admitted)
                {
                    tickets.Add(ticket);
                }
            }

            Assert.InRange(admission.Inside, 0, bound + 4);
            tickets.ForEach(ticket => admission.Leave(ticket, AdmissionOutcome.Success));
        });
        Assert.Equal(0, admission.Inside);
    }

    [Fact]
    public async Task Counts_EveryAnswer_IsAMetric()
    {
        await using DegradeHost host = await StartAsync();
        using var metrics = new MetricCollector("Resilience.Degrade", host.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>());
        AdmissionController admission = Controller(host);
        admission.TryEnter(Priority.Low, out AdmissionTicket ticket);
        admission.TryEnter(Priority.Low, out _);
        admission.Leave(ticket, AdmissionOutcome.Success);
        metrics.Observe();
        Assert.Equal(1, metrics.Last("resilience.admission.requests", ("resilience.priority", "low"), ("resilience.outcome", "admitted")));
        Assert.Equal(1, metrics.Last("resilience.admission.inside"));
    }

    /// <summary>Whether it taught the controller or not, and however often the counters were emptied meanwhile.</summary>
    [Fact]
    public async Task Count_AdmittedThatHaveLeft_AreCountedOnceEach()
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        foreach (Priority priority in Enum.GetValues<Priority>())
        {
            for (int i = 0; i <= (int)priority; i++)
            {
                admission.TryEnter(priority, out AdmissionTicket taught);
                admission.Leave(taught, AdmissionOutcome.Success);
                admission.TryEnter(priority, out AdmissionTicket ignored);
                admission.Leave(ignored, AdmissionOutcome.Ignore);
                ((ITickListener)admission).Tick(new SystemSample(i * 100, 100, 0, 0, 0, 0), PressureLevel.Normal, 0);
            }
        }

        Assert.Equal([2, 4, 6, 8], Enum.GetValues<Priority>().Select(priority => admission.Count(priority, AdmissionResult.Admitted)));
    }

    /// <summary>Critical work has its lane: it counts for itself, and frees both what it took.</summary>
    [Fact]
    public async Task TryEnter_FullOfOthers_CriticalWorkHasItsLaneAndNoMore()
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        var others = new List<AdmissionTicket>();
        while (admission.TryEnter(Priority.Normal, out AdmissionTicket ticket) == AdmissionResult.Admitted)
        {
            others.Add(ticket);
        }

        var critical = new List<AdmissionTicket>();
        while (admission.TryEnter(Priority.Critical, out AdmissionTicket ticket) == AdmissionResult.Admitted)
        {
            critical.Add(ticket);
        }

        Assert.Equal(others.Count / 2, critical.Count);
        admission.Leave(critical[0], AdmissionOutcome.Success);
        Assert.Equal(AdmissionResult.RefusedByLoad, admission.TryEnter(Priority.Normal, out _));
        Assert.Equal(AdmissionResult.Admitted, admission.TryEnter(Priority.Critical, out AdmissionTicket last));
        Assert.Equal(AdmissionResult.RefusedByLoad, admission.TryEnter(Priority.Critical, out _));
        admission.Leave(last, AdmissionOutcome.Success);
        critical.Skip(1).Concat(others).ToList().ForEach(ticket => admission.Leave(ticket, AdmissionOutcome.Success));
        Assert.Equal(0, admission.Inside);
    }

    /// <summary>While arrivals wait in front of the door, fewer come in than there are places; critical work may borrow from the ticks to come.</summary>
    [Fact]
    public async Task TryEnter_ArrivalsWaitForAThread_TheRateIsBoundedToo()
    {
        await using DegradeHost host = await StartAsync();
        AdmissionController admission = Controller(host);
        Heat(admission);
        Sample(admission, ticks: 5, queueWaitMs: 500);
        int[] come = [.. new[] { Priority.Bulk, Priority.Low, Priority.Normal, Priority.Critical }.Select(priority => Enumerable.Range(0, 100_000).Count(_ => ComeAndGo(admission, priority)))];
        Assert.True(come[0] > 0 && come[1] > 0 && come[2] > 0, string.Join(", ", come));
        Assert.True(come[0] + come[1] + come[2] <= 40, $"{string.Join(", ", come)} came in within a tick, and 40 in each before");
        Assert.InRange(come[3], 2 * (come[0] + come[1] + come[2]), 400); // a second's worth at the most

        // When nobody waits any more, the bound goes.
        Sample(admission, ticks: 120, queueWaitMs: 0);
        Assert.True(admission.IsHot);
        Assert.True(Enumerable.Range(0, 1_000).All(_ => ComeAndGo(admission, Priority.Normal)));
    }

    private static bool ComeAndGo(AdmissionController admission, Priority priority)
    {
        AdmissionResult result = admission.TryEnter(priority, out AdmissionTicket ticket);
        admission.Leave(ticket, AdmissionOutcome.Ignore);
        return result == AdmissionResult.Admitted;
    }

    private static void Sample(AdmissionController admission, int ticks, double queueWaitMs)
    {
        for (int i = 0; i < ticks; i++)
        {
            ((ITickListener)admission).Tick(new SystemSample(10_000 + (i * 100), 100, 1, 0, queueWaitMs, 0), PressureLevel.Normal, 0);
        }
    }

    private static void Heat(AdmissionController admission)
    {
        for (int i = 0; i < 30; i++)
        {
            for (int n = 0; n < 40; n++)
            {
                admission.TryEnter(Priority.Critical, out AdmissionTicket ticket);
                admission.Leave(ticket, AdmissionOutcome.Success);
            }

            ((ITickListener)admission).Tick(new SystemSample(i * 100, 100, 1, 0, 0, 0), PressureLevel.Normal, 0);
        }
    }

    private static AdmissionController Controller(DegradeHost host) => host.Services.GetRequiredService<AdmissionController>();

    private static Task<DegradeHost> StartAsync(Dictionary<string, string?>? settings = null) =>
        DegradeHost.StartAsync(settings, builder => builder.AddAdmission(), samples: false);
}
