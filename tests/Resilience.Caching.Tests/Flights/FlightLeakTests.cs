using Resilience.Caching.Flights;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Flights;

/// <summary>What a factory leaves behind keeps nothing of the flight that it ran for.</summary>
public sealed class FlightLeakTests
{
    private static Timer NeverDue() => new(static _ => { }, null, Timeout.Infinite, Timeout.Infinite);

    private static async ValueTask<string> LeaveTimerAsync(LeakProbe probe, ResilientCache cache, bool isAsync)
    {
        probe.Track(Reentrancy.Current!, "flight");
        if (isAsync)
        {
            await Task.Yield();
        }

        probe.Keep(NeverDue()); // It takes the ambient context along.
        return "value";
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Timer_LeftBehindByAFactory_DoesNotKeepTheFlight(bool isAsync) => LeakAssert.Collected(async probe =>
    {
        ResilientCache cache = TestCache.New();
        probe.Keep(cache);
        object state = probe.Track(new object(), "state");
        string value = await cache.GetOrCreateAsync("key", (state, probe, cache, isAsync), static (call, _) => LeaveTimerAsync(call.probe, call.cache, call.isAsync));
        Assert.Equal("value", value);
    });

    [Fact]
    public void Timer_LeftBehindByABatchFactory_DoesNotKeepTheFlights() => LeakAssert.Collected(async probe =>
    {
        ResilientCache cache = TestCache.New();
        probe.Keep(cache);
        IReadOnlyDictionary<string, string> values = await cache.ManyAsync(["one", "two"], keys =>
        {
            probe.Track(Reentrancy.Current!, "flight");
            probe.Keep(NeverDue());
            return keys.Select(key => (key, key));
        });
        Assert.Equal(2, values.Count);
    });

    [Fact]
    public void Token_KeptByAFactory_DoesNotKeepTheFlight() => LeakAssert.Collected(async probe =>
    {
        ResilientCache cache = TestCache.New();
        probe.Keep(cache);
        await cache.GetAsync("key", token =>
        {
            probe.Track(Reentrancy.Current!, "flight");
            probe.Keep((object)token);
            return new ValueTask<string>("value");
        });
    });

    [Fact]
    public void Control_TimerThatHoldsTheFlightItself_KeepsIt() => LeakAssert.StillAlive(async probe =>
    {
        ResilientCache cache = TestCache.New();
        await cache.GetAsync("key", _ =>
        {
            var ambient = new AsyncLocal<object?> { Value = probe.Track(Reentrancy.Current!, "flight") };
            probe.Keep(NeverDue());
            probe.Keep(ambient);
            return new ValueTask<string>("value");
        });
    });

    [Fact]
    public async Task Mark_OfAFlightThatIsOver_IsNobodys()
    {
        await using ResilientCache cache = TestCache.New();
        Func<Task<string>>? later = null;
        await cache.GetAsync("key", _ =>
        {
            ExecutionContext inside = ExecutionContext.Capture()!;
            later = () =>
            {
                Task<string>? read = null;
                ExecutionContext.Run(inside, _ => read = cache.GetAsync("key", "again").AsTask(), null);
                return read!;
            };
            return new ValueTask<string>("value");
        });
        await cache.RemoveAsync("key");
        Assert.Equal("again", await later!().Soon()); // No re-entrancy: the factory that it came from has ended.
    }
}
