namespace Resilience.Context.Tests.Deadlines;

/// <summary>The edges of a deadline that mutation testing found nobody watching.</summary>
public sealed class DeadlineEdgeTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Fact]
    public void SystemClock_PassedDeadline_IsExpiredWithNothingLeft()
    {
        Deadline deadline = Deadline.After(TimeSpan.Zero);
        Assert.True(deadline.IsExpired);
        Assert.Equal(TimeSpan.Zero, deadline.Remaining);
        Assert.False(Deadline.After(TimeSpan.FromHours(1)).IsExpired);
    }

    [Fact]
    public void Remaining_LongPassed_IsZero_AndPassedTellsHowLong()
    {
        var clock = new ManualTimeProvider();
        Deadline deadline = Deadline.After(Second, clock);
        Assert.Equal(TimeSpan.Zero, deadline.Passed);

        clock.Advance(Second);
        Assert.Equal(TimeSpan.Zero, deadline.Passed);

        clock.Advance(3 * Second);
        Assert.Equal(TimeSpan.Zero, deadline.Remaining);
        Assert.Equal(3 * Second, deadline.Passed);
        Assert.Equal(TimeSpan.Zero, Deadline.None.Passed);
    }

    [Fact]
    public void After_Infinite_IsNone()
    {
        Assert.True(Deadline.After(Timeout.InfiniteTimeSpan).IsNone);
        Assert.False(Deadline.After(Second).IsNone);
    }

    [Fact]
    public void Min_OnDifferentClocks_IsTheOneWithLessLeft()
    {
        var early = new ManualTimeProvider();
        var late = new ManualTimeProvider();
        early.Advance(TimeSpan.FromDays(1)); // the timestamps of one clock say nothing about the other's
        Deadline less = Deadline.After(Second, early);
        Deadline more = Deadline.After(2 * Second, late);
        Assert.Equal(less, Deadline.Min(less, more));
        Assert.Equal(less, Deadline.Min(more, less));

        Deadline much = Deadline.After(3 * Second, early);
        Assert.Equal(more, Deadline.Min(more, much));
        Assert.Equal(more, Deadline.Min(much, more));
    }

    [Fact]
    public void Min_BothPassed_IsTheOneThatPassedFirst()
    {
        var clock = new ManualTimeProvider();
        Deadline first = Deadline.After(Second, clock);
        Deadline second = Deadline.After(2 * Second, clock);
        clock.Advance(5 * Second);
        Assert.Equal(first, Deadline.Min(first, second));
        Assert.Equal(first, Deadline.Min(second, first));
    }

    [Fact]
    public void Limit_IsTheShorterOfTheTwo()
    {
        Deadline deadline = Deadline.After(2 * Second, new ManualTimeProvider());
        Assert.Equal(Second, deadline.Limit(Second));
        Assert.Equal(2 * Second, deadline.Limit(3 * Second));
        Assert.Equal(2 * Second, deadline.Limit(Timeout.InfiniteTimeSpan));
        Assert.Equal(Timeout.InfiniteTimeSpan, Deadline.None.Limit(Timeout.InfiniteTimeSpan));
    }

    [Fact]
    public void Equality_NeedsTheSameMomentOfTheSameClock()
    {
        var clock = new ManualTimeProvider();
        Deadline deadline = Deadline.After(Second, clock);
        Assert.True(deadline == Deadline.After(Second, clock));
        Assert.False(deadline != Deadline.After(Second, clock));
        Assert.True(deadline != Deadline.After(2 * Second, clock));
        Assert.True(deadline != Deadline.After(Second, new ManualTimeProvider()));
        Assert.Equal("1000 ms", deadline.ToString());
    }

    [Fact]
    public void Write_Negative_IsRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(static () => DeadlineCodec.WriteMilliseconds(TimeSpan.FromTicks(-1)));
        Assert.Throws<ArgumentOutOfRangeException>(static () => DeadlineCodec.WriteGrpc(TimeSpan.FromTicks(-1)));
    }

    [Theory]
    [InlineData(99_999_999L * TimeSpan.TicksPerMillisecond, "99999999m")]
    [InlineData(100_000_000L * TimeSpan.TicksPerMillisecond, "100000S")]
    [InlineData(99_999_999L * TimeSpan.TicksPerSecond, "99999999S")]
    [InlineData(100_000_020L * TimeSpan.TicksPerSecond, "27777H")]
    public void WriteGrpc_AtTheMostDigits_ChangesTheUnit(long ticks, string expected) => Assert.Equal(expected, DeadlineCodec.WriteGrpc(new TimeSpan(ticks)));
}
