using Resilience.Incidents.Instruments;

namespace Resilience.Integration.Tests.Incidents;

/// <summary>The instruments of bench/Resilience.Incidents measure what they say.</summary>
[Collection(RunsAlone.Name)]
public sealed class InstrumentTests
{
    [Fact]
    public void Percentile_AnyLatencies_IsWithinABucketOfTheExactOne()
    {
        var random = new Random(7);
        var histogram = new LatencyHistogram();
        double[] milliseconds = [.. Enumerable.Range(0, 10_000).Select(_ => Math.Pow(10, (random.NextDouble() * 6) - 2)).Order()];
        foreach (double latency in milliseconds)
        {
            histogram.Add(TimeSpan.FromMilliseconds(latency));
        }

        Assert.Equal(10_000, histogram.Count);
        foreach (double share in new[] { 0.01, 0.5, 0.9, 0.99, 0.999, 1 })
        {
            double exact = milliseconds[(int)Math.Ceiling(share * milliseconds.Length) - 1];
            Assert.InRange(histogram.Percentile(share), exact - 0.001, (exact * 1.017) + 0.002);
        }
    }

    [Fact]
    public void Merge_IsTheSameAsAddingAll()
    {
        var one = new LatencyHistogram();
        var other = new LatencyHistogram();
        var both = new LatencyHistogram();
        for (int i = 0; i < 1_000; i++)
        {
            (i % 3 == 0 ? one : other).Add(TimeSpan.FromMilliseconds(i));
            both.Add(TimeSpan.FromMilliseconds(i));
        }

        one.Merge(other);
        Assert.Equal(both.Count, one.Count);
        Assert.Equal(both.MeanMilliseconds, one.MeanMilliseconds);
        Assert.Equal(both.Percentile(0.9), one.Percentile(0.9));
    }

    /// <summary>
    /// A service that stands still for 300 ms makes everybody late who was due meanwhile, and not only the one request that a polite client
    /// would have sent: without the correction for coordinated omission the median would not move.
    /// </summary>
    [Fact]
    public async Task OpenLoop_ServiceStandsStill_CountsEverybodyWhoWasDue()
    {
        const int Rate = 400;
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = TimeSpan.FromMilliseconds(600), Patience = TimeSpan.FromSeconds(30) };
        var timeline = new Timeline(plan);
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await new OpenLoop(timeline, async (arrival, _) =>
            {
                if (arrival.Due >= TimeSpan.FromMilliseconds(200))
                {
                    await open.Task;
                }

                return Reply.Ok;
            })
            .At(TimeSpan.FromMilliseconds(500), open.SetResult)
            .RunAsync();

        LoadFigures all = timeline.All();
        LoadFigures still = timeline.Slice(TimeSpan.FromMilliseconds(200), TimeSpan.FromMilliseconds(400));
        Assert.InRange(all.Sent, Rate * 6 / 10, (Rate * 6 / 10) + 1); // fractions of a second add up to the end or a little less
        Assert.Equal(all.Sent, all.Ok);
        Assert.InRange(still.Sent, (Rate * 2 / 10) - 1, (Rate * 2 / 10) + 1);
        Assert.True(still.P50 >= 190, $"the median of those who were due from 200 to 400 ms is {still.P50:F0} ms; the service stood still until 500");
        Assert.True(all.Max >= 290, $"the slowest took {all.Max:F0} ms");
    }

    [Fact]
    public async Task OpenLoop_NoAnswer_IsAFailureWhenPatienceEnds()
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(100), Duration = TimeSpan.FromMilliseconds(200), Patience = TimeSpan.FromMilliseconds(100) };
        var timeline = new Timeline(plan);
        await new OpenLoop(timeline, static async (_, _) =>
        {
            await Task.Delay(Timeout.Infinite, TestContext.Current.CancellationToken);
            return Reply.Ok;
        }).RunAsync();

        Assert.InRange(timeline.All().Sent, 20, 21);
        Assert.Equal((0, timeline.All().Sent), (timeline.All().Ok, timeline.All().Failed));
        Assert.InRange(timeline.All().P50, 95, 105);
    }

    [Fact]
    public void Dice_SameSeedAndIndex_IsTheSameNumber_AndShares_AreEven()
    {
        Assert.Equal(Dice.Share(3, 17), Dice.Share(3, 17));
        Assert.NotEqual(Dice.Share(3, 17), Dice.Share(4, 17));
        Assert.InRange(Enumerable.Range(0, 10_000).Average(static index => Dice.Share(1, index)), 0.49, 0.51);
        Assert.InRange(Enumerable.Range(0, 10_000).Count(static index => Dice.Share(1, index) < 0.05), 420, 580);
    }

    [Fact]
    public void Zipf_FirstRankIsAskedForMost()
    {
        var zipf = new Zipf(100, 1, seed: 5);
        int[] counts = new int[100];
        for (int index = 0; index < 20_000; index++)
        {
            counts[zipf.Draw(index)]++;
        }

        Assert.Equal(counts.Max(), counts[0]);
        Assert.InRange((double)counts[0] / counts[9], 7, 14); // 10 by the law
    }

    [Fact]
    public void Slope_OfALine_IsTheLines() =>
        Assert.Equal(2.5, LiveHeap.Slope([.. Enumerable.Range(1, 10).Select(static x => new PlotPoint(x, 7 + (2.5 * x)))]), precision: 9);
}
