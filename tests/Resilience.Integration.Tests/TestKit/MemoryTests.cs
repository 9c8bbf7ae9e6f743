using Resilience.TestKit;
using Xunit.Sdk;

namespace Resilience.Integration.Tests.TestKit;

[Collection(RunsAlone.Name)]
public sealed class MemoryTests
{
    [Fact]
    public void AllocationAssert_KnownAllocation_MeasuresIt()
    {
        object? sink = null;

        double bytes = AllocationAssert.BytesPerOperation(() => sink = new byte[100]);

        Assert.NotNull(sink);
        Assert.Equal(128, bytes, tolerance: 0.5);
        Assert.Throws<FailException>(() => AllocationAssert.AtMost(127, () => sink = new byte[100]));
    }

    [Fact]
    public void AllocationAssert_NothingAllocated_Passes()
    {
        int count = 0;
        AllocationAssert.AtMost(0, () => { count++; });
        AllocationAssert.AtMost(0, () => Task.CompletedTask);
        AllocationAssert.AtMost(0, () => ValueTask.CompletedTask);
        AllocationAssert.AtMost(0, () => new ValueTask<int>(count));
        AllocationAssert.AtMost(0, async () => await new ValueTask<int>(count));
    }

    [Fact]
    public void AllocationAssert_OperationTrulyAsynchronous_Refuses() =>
        Assert.Throws<FailException>(() => AllocationAssert.AtMost(1_000_000, async () => await Task.Yield()));

    [Fact]
    public async Task AllocationAssert_WholeProcess_CountsOtherThreads()
    {
        double bytes = await AllocationAssert.ProcessBytesPerOperationAsync(
            operations => Task.Run(() =>
            {
                for (int i = 0; i < operations; i++)
                {
                    GC.KeepAlive(new byte[1_000]);
                }
            }));

        Assert.True(bytes >= 1_024, $"{bytes} B");
    }

    [Fact]
    public void Collected_PayloadDropped_Passes() =>
        LeakAssert.Collected(probe => probe.Keep(new WeakReference(probe.Track(new byte[64], "payload"))));

    [Fact]
    public void Collected_PayloadCapturedByContext_FailsNamingIt()
    {
        var exception = Assert.Throws<FailException>(() => LeakAssert.Collected(LeakThroughContext));
        Assert.Contains("the payload", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void StillAlive_PayloadCapturedByContext_Passes() => LeakAssert.StillAlive(LeakThroughContext);

    [Fact]
    public void StillAlive_NothingLeaks_Fails() =>
        Assert.Throws<FailException>(() => LeakAssert.StillAlive(probe => probe.Track(new object())));

    [Fact]
    public void Collected_NothingTracked_Fails() =>
        Assert.Throws<FailException>(() => LeakAssert.Collected(_ => { }));

    [Fact]
    public void Collected_ScenarioThrows_Rethrows() =>
        Assert.Throws<InvalidOperationException>(() => LeakAssert.Collected(_ => throw new InvalidOperationException()));

    [Fact]
    public void Collected_AsyncScenario_Passes() =>
        LeakAssert.Collected(async probe =>
        {
            byte[] payload = probe.Track(new byte[64]);
            await Task.Yield();
            GC.KeepAlive(payload);
        });

    [Fact]
    public void LiveBytes_BigArrayHeld_CountsIt()
    {
        long before = LeakAssert.LiveBytes();
        byte[] held = new byte[50_000_000];
        long after = LeakAssert.LiveBytes();
        GC.KeepAlive(held);

        Assert.InRange(after - before, 40_000_000, 60_000_000);
    }

    private static void LeakThroughContext(LeakProbe probe)
    {
        var ambient = new AsyncLocal<byte[]?> { Value = probe.Track(new byte[64], "the payload") };
        probe.Keep(new Timer(static _ => { }, null, Timeout.Infinite, Timeout.Infinite));
        ambient.Value = null;
    }
}
