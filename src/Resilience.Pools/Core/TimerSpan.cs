namespace Resilience.Pools;

/// <summary>Times as timers take them.</summary>
internal static class TimerSpan
{
    /// <summary>The longest that a timer of the platform can be set to, some 49 days.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    /// <summary>The same time; infinite where it is longer than a timer lasts.</summary>
    public static TimeSpan Of(TimeSpan span) => span > Longest ? Timeout.InfiniteTimeSpan : span;

    /// <summary>Refuses a time that is negative and not infinite.</summary>
    public static void ThrowIfNegative(TimeSpan? span, string parameter)
    {
        if (span is { } given && given != Timeout.InfiniteTimeSpan)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(given, TimeSpan.Zero, parameter);
        }
    }
}
