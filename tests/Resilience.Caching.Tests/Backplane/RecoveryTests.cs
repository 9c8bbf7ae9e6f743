using Resilience.Caching.Backplane;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Backplane;

/// <summary>
/// Regression: after a long outage the pauses between attempts had grown to almost four seconds, so that for as long other nodes did not
/// hear of a removal after the channel was back, or a node stayed deaf. What is short is the time in which old values are shown.
/// </summary>
public sealed class RecoveryTests
{
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(50);

    [Fact]
    public async Task Announce_LongOutage_IsTriedEveryFewHundredMilliseconds()
    {
        var time = new ManualTimeProvider();
        var tier = new FakeSharedTier { Fails = true };
        await using ResilientCache cache = TestCache.New(time, shared: tier);
        var announcer = new Announcer(cache.Core, tier, "channel", 1);
        int timers = time.ArmedTimers;
        List<TimeSpan> attempts = Watch(tier, "publish", time);

        announcer.Announce(new Change(ChangeKind.Key, "key", 1, default));
        await PassAsync(time, timers + 1, TimeSpan.FromSeconds(20));

        AssertNoGapAbove(TimeSpan.FromMilliseconds(350), attempts);
        tier.Fails = false;
        time.Advance(TimeSpan.FromMilliseconds(350));
        await announcer.DisposeAsync();
        Assert.Equal(0, announcer.Waiting);
    }

    [Fact]
    public async Task Subscribe_LongOutage_IsTriedAboutTwiceASecond()
    {
        var time = new ManualTimeProvider();
        var tier = new FakeSharedTier { Fails = true };
        await using ResilientCache cache = TestCache.New(time, shared: tier, hasBackplane: true);
        int timers = time.ArmedTimers;
        List<TimeSpan> attempts = Watch(tier, "subscribe", time);

        cache.Upkeep.Link!.Start();
        await PassAsync(time, timers + 1, TimeSpan.FromSeconds(20));

        AssertNoGapAbove(TimeSpan.FromMilliseconds(600), attempts);
    }

    private static List<TimeSpan> Watch(FakeSharedTier tier, string call, ManualTimeProvider time)
    {
        var attempts = new List<TimeSpan>();
        tier.Before = name =>
        {
            if (name == call)
            {
                lock (attempts)
                {
                    attempts.Add(new TimeSpan(time.GetTimestamp()));
                }
            }

            return Task.CompletedTask;
        };
        return attempts;
    }

    /// <summary>Lets time pass, never past an attempt that has not come to its pause yet.</summary>
    private static async Task PassAsync(ManualTimeProvider time, int timers, TimeSpan length)
    {
        for (TimeSpan passed = TimeSpan.Zero; passed < length; passed += Step)
        {
            await time.WaitForTimersAsync(timers);
            time.Advance(Step);
        }

        await time.WaitForTimersAsync(timers);
    }

    private static void AssertNoGapAbove(TimeSpan most, List<TimeSpan> attempts)
    {
        lock (attempts)
        {
            Assert.True(attempts.Count > 10, $"{attempts.Count} attempts in 20 s");
            TimeSpan longest = attempts.Zip(attempts.Skip(1), static (one, next) => next - one).Max();
            Assert.True(longest <= most, $"{longest.TotalMilliseconds} ms between two attempts");
        }
    }
}
