using System.Diagnostics;
using FsCheck;
using FsCheck.Fluent;

namespace Resilience.Context.Tests.Deadlines;

public sealed class DeadlineTests
{
    [Fact]
    public void Remaining_WallClockJumps_FollowsTheMonotonicClock()
    {
        var clock = new ManualTimeProvider();
        Deadline deadline = Deadline.After(TimeSpan.FromMinutes(1), clock);
        foreach (double hours in (double[])[1, -2, 24, -48])
        {
            clock.SetUtcNow(clock.GetUtcNow() + TimeSpan.FromHours(hours));
            Assert.Equal(TimeSpan.FromMinutes(1), deadline.Remaining);
        }

        clock.Advance(TimeSpan.FromSeconds(59));
        Assert.Equal(TimeSpan.FromSeconds(1), deadline.Remaining);
        Assert.False(deadline.IsExpired);
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(deadline.IsExpired);
        Assert.Equal(TimeSpan.Zero, deadline.Remaining);
    }

    [Fact]
    public void None_IsLaterThanEveryOther()
    {
        Deadline some = Deadline.After(TimeSpan.FromSeconds(1));
        Assert.Equal(some, Deadline.Min(some, Deadline.None));
        Assert.Equal(some, Deadline.Min(Deadline.None, some));
        Assert.True(Deadline.None.IsNone);
        Assert.False(Deadline.None.IsExpired);
        Assert.Equal(Timeout.InfiniteTimeSpan, Deadline.None.Remaining);
        Assert.Equal("none", Deadline.None.ToString());
        Assert.Equal(TimeSpan.FromSeconds(3), Deadline.None.Limit(TimeSpan.FromSeconds(3)));
    }

    [Fact]
    public void After_HugeTimeouts_DoNotOverflow()
    {
        foreach (TimeProvider clock in (TimeProvider[])[TimeProvider.System, new ManualTimeProvider()])
        {
            Deadline deadline = Deadline.After(TimeSpan.MaxValue, clock);
            Assert.False(deadline.IsExpired);
            Assert.True(deadline.Remaining > TimeSpan.FromDays(365));
            Assert.Throws<ArgumentOutOfRangeException>(() => Deadline.After(TimeSpan.FromTicks(-5), clock));
            using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.MaxValue, TimeProvider = clock });
            Assert.False(scope.Token.IsCancellationRequested);
        }
    }

    [Fact]
    public void Remaining_OnTheSystemClock_CoarseAndExactAgreeWithin32Milliseconds()
    {
        // A virtual machine's coarse clock stands still while the processor that moves it does not run, however the others do: that is not the deadline's doing.
        long ticks = Environment.TickCount64;
        long stamp = Stopwatch.GetTimestamp();
        Deadline deadline = Deadline.After(TimeSpan.FromSeconds(30));
        for (int sample = 0; sample < 100_000; sample++)
        {
            double before = BehindMs();
            TimeSpan exact = deadline.ExactRemaining;
            TimeSpan coarse = deadline.Remaining;
            double behind = Math.Max(before, BehindMs());
            double took = (exact - deadline.ExactRemaining).TotalMilliseconds;
            Assert.InRange((coarse - exact).TotalMilliseconds, -32 - (took * 2), Math.Max(32, behind + 20) + took);
        }

        double BehindMs() => Stopwatch.GetElapsedTime(stamp).TotalMilliseconds - (Environment.TickCount64 - ticks);
    }

    [Fact]
    public void Remaining_BelowTheThreshold_IsExact()
    {
        // The coarse clock knows whole milliseconds only. One of many readings may be whole by chance, or late on a slow machine; not all.
        Assert.Contains(Enumerable.Range(0, 100), static _ =>
        {
            TimeSpan left = Deadline.After(Deadline.ExactBelow - TimeSpan.FromMilliseconds(1)).Remaining;
            Assert.True(left < Deadline.ExactBelow);
            return left.Ticks % TimeSpan.TicksPerMillisecond != 0;
        });
    }

    [Fact]
    public void Min_IsCommutativeAndNeverLater() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(PositiveInt, PositiveInt)>(), pair =>
        {
            var clock = new ManualTimeProvider();
            Deadline left = Deadline.After(TimeSpan.FromMilliseconds(pair.Item1.Get), clock);
            Deadline right = Deadline.After(TimeSpan.FromMilliseconds(pair.Item2.Get), clock);
            Deadline least = Deadline.Min(left, right);
            return least == Deadline.Min(right, left) && least.Remaining <= left.Remaining && least.Remaining <= right.Remaining;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void ThreeHops_AnyClocksAndDelays_CalleeNeverHasMoreThanItsCaller() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(PositiveInt, NonNegativeInt[], int[])>(), input =>
        {
            // Three services with clocks of their own, whose wall clocks jump as they like; the network takes time between them.
            (PositiveInt budget, NonNegativeInt[] delays, int[] jumps) = input;
            var policy = DeadlinePolicy.Default;
            var clocks = Enumerable.Range(0, 3).Select(_ => new ManualTimeProvider()).ToArray();
            Deadline caller = Deadline.After(policy.Inbound(TimeSpan.FromMilliseconds(budget.Get * 7.3)), clocks[0]);
            for (int hop = 1; hop < 3; hop++)
            {
                if (!policy.TryOutbound(caller.ExactRemaining, Timeout.InfiniteTimeSpan, out TimeSpan wire))
                {
                    return true;
                }

                string header = hop == 1 ? DeadlineCodec.WriteMilliseconds(wire) : DeadlineCodec.WriteGrpc(wire);
                TimeSpan network = TimeSpan.FromMilliseconds(delays.Length == 0 ? 0 : delays[hop % delays.Length].Get % 50);
                foreach (ManualTimeProvider clock in clocks)
                {
                    clock.Advance(network);
                    clock.SetUtcNow(new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero).AddMinutes(jumps.Length == 0 ? 0 : jumps[hop % jumps.Length] % 100_000));
                }

                TimeSpan read;
                bool isRead = hop == 1 ? DeadlineCodec.TryReadMilliseconds(header, out read) : DeadlineCodec.TryReadGrpc(header, out read);
                Deadline callee = Deadline.After(policy.Inbound(read), clocks[hop]);
                TimeSpan callerLeft = caller.ExactRemaining + network;
                if (!isRead || callee.ExactRemaining > callerLeft)
                {
                    return false;
                }

                caller = callee;
            }

            return true;
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData(1000, -1, 980)]
    [InlineData(100, -1, 98)]
    [InlineData(10_000, -1, 9_900)]
    [InlineData(60_000, 500, 490)]
    [InlineData(7, -1, 5)]
    [InlineData(6, -1, 0)]
    [InlineData(0, -1, 0)]
    [InlineData(-1, 6, 0)]
    public void TryOutbound_KeepsTheMarginBack(int remaining, int client, int expected)
    {
        bool isUseful = DeadlinePolicy.Default.TryOutbound(TimeSpan.FromMilliseconds(remaining), TimeSpan.FromMilliseconds(client), out TimeSpan budget);
        Assert.Equal(expected > 0, isUseful);
        Assert.Equal(expected, budget.TotalMilliseconds);
    }

    [Fact]
    public void TryOutbound_NoLimitAtAll_SendsNone()
    {
        Assert.True(DeadlinePolicy.Default.TryOutbound(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan, out TimeSpan budget));
        Assert.Equal(Timeout.InfiniteTimeSpan, budget);
    }

    [Theory]
    [InlineData(-5, 0)]
    [InlineData(0, 0)]
    [InlineData(1000, 1000)]
    [InlineData(10_000_000, 60_000)]
    public void Inbound_IsClamped(int asked, int granted) =>
        Assert.Equal(granted, DeadlinePolicy.Default.Inbound(TimeSpan.FromMilliseconds(asked)).TotalMilliseconds);
}
