using System.Globalization;

namespace Resilience.Context;

/// <summary>
/// The moment after which nobody waits for an answer any more: a point on a provider's monotonic clock, so that no jump of the wall
/// clock moves it. The default value is <see cref="None"/>: no deadline.
/// </summary>
/// <remarks>
/// Immutable and thread-safe. On the system's clock the moment is kept twice, as a timestamp and on the coarse clock: far from the end
/// <see cref="Remaining"/> is read from the coarse one, at a quarter of the cost and true to ±16 ms; for the last
/// <see cref="ExactBelow"/> it is exact. <see cref="IsExpired"/> never says yes early.
/// </remarks>
public readonly struct Deadline : IEquatable<Deadline>
{
    /// <summary>Below this much time left the exact clock is read; 512 ms.</summary>
    internal static readonly TimeSpan ExactBelow = TimeSpan.FromMilliseconds(ExactBelowMilliseconds);

    private const long ExactBelowMilliseconds = 512;

    private readonly TimeProvider? _provider;
    private readonly long _due;

    // The same moment on Environment.TickCount64; zero when the provider is not the system's. Both clocks are read when the deadline is
    // made: deriving one from the other by a fixed offset would drift by seconds over weeks of uptime on systems with two oscillators.
    private readonly long _coarseDue;

    private Deadline(TimeProvider provider, long due, long coarseDue)
    {
        _provider = provider;
        _due = due;
        _coarseDue = coarseDue;
    }

    /// <summary>No deadline: <see cref="Remaining"/> is <see cref="Timeout.InfiniteTimeSpan"/>.</summary>
    public static Deadline None => default;

    /// <summary>Whether there is no deadline.</summary>
    public bool IsNone => _provider is null;

    /// <summary>
    /// What is left: zero once it has passed, <see cref="Timeout.InfiniteTimeSpan"/> when there is none. Never negative otherwise.
    /// </summary>
    public TimeSpan Remaining
    {
        get
        {
            if (_coarseDue != 0)
            {
                long left = _coarseDue - Environment.TickCount64;
                if (left > ExactBelowMilliseconds)
                {
                    return new TimeSpan(left * TimeSpan.TicksPerMillisecond);
                }
            }

            return ExactRemaining;
        }
    }

    /// <summary>Whether the moment has come. Always false for <see cref="None"/>.</summary>
    public bool IsExpired
    {
        get
        {
            if (_provider is null || (_coarseDue != 0 && _coarseDue - Environment.TickCount64 > ExactBelowMilliseconds))
            {
                return false;
            }

            return _provider.GetTimestamp() >= _due;
        }
    }

    /// <summary>What is left by the exact clock, for what is written on the wire.</summary>
    internal TimeSpan ExactRemaining
    {
        get
        {
            if (_provider is null)
            {
                return Timeout.InfiniteTimeSpan;
            }

            long now = _provider.GetTimestamp();
            return now >= _due ? TimeSpan.Zero : _provider.GetElapsedTime(now, _due);
        }
    }

    /// <summary>How long ago it passed; zero when it has not, or when there is none.</summary>
    internal TimeSpan Passed
    {
        get
        {
            long now = _provider?.GetTimestamp() ?? 0;
            return now <= _due || _provider is null ? TimeSpan.Zero : _provider.GetElapsedTime(_due, now);
        }
    }

    /// <summary>The clock it stands on; <see langword="null"/> when there is no deadline.</summary>
    internal TimeProvider? Provider => _provider;

    /// <summary>A deadline some time from now.</summary>
    /// <param name="timeout">How long from now; <see cref="Timeout.InfiniteTimeSpan"/> gives <see cref="None"/>, zero one that has passed.</param>
    /// <param name="timeProvider">The clock; the system's by default.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative and not infinite.</exception>
    public static Deadline After(TimeSpan timeout, TimeProvider? timeProvider = null)
    {
        if (timeout == Timeout.InfiniteTimeSpan)
        {
            return None;
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        timeProvider ??= TimeProvider.System;
        double ticks = timeout.TotalSeconds * timeProvider.TimestampFrequency;
        long now = timeProvider.GetTimestamp();
        long due = ticks >= long.MaxValue - now ? long.MaxValue : now + (long)ticks;
        long coarseDue = ReferenceEquals(timeProvider, TimeProvider.System)
            ? Environment.TickCount64 + (long)Math.Min(timeout.TotalMilliseconds, long.MaxValue / 2)
            : 0;
        return new Deadline(timeProvider, due, coarseDue);
    }

    /// <summary>The earlier of two deadlines; <see cref="None"/> is later than every other.</summary>
    /// <remarks>Deadlines on different clocks are compared by what is left of each.</remarks>
    public static Deadline Min(Deadline left, Deadline right)
    {
        if (left._provider is null)
        {
            return right;
        }

        if (right._provider is null)
        {
            return left;
        }

        bool isLeft = ReferenceEquals(left._provider, right._provider)
            ? left._due <= right._due
            : left.ExactRemaining <= right.ExactRemaining;
        return isLeft ? left : right;
    }

    /// <summary>The shorter of what is left and a limit of one's own, which is what a wait under this deadline may last.</summary>
    /// <param name="timeout">The own limit; <see cref="Timeout.InfiniteTimeSpan"/> for none.</param>
    public TimeSpan Limit(TimeSpan timeout)
    {
        TimeSpan remaining = Remaining;
        return remaining == Timeout.InfiniteTimeSpan ? timeout
            : timeout == Timeout.InfiniteTimeSpan || remaining < timeout ? remaining : timeout;
    }

    /// <inheritdoc/>
    public bool Equals(Deadline other) => ReferenceEquals(_provider, other._provider) && _due == other._due;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Deadline other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _due.GetHashCode();

    /// <summary>Whether two deadlines are the same moment of the same clock.</summary>
    public static bool operator ==(Deadline left, Deadline right) => left.Equals(right);

    /// <summary>Whether two deadlines differ.</summary>
    public static bool operator !=(Deadline left, Deadline right) => !left.Equals(right);

    /// <summary>What is left in milliseconds, or "none".</summary>
    public override string ToString() =>
        IsNone ? "none" : string.Create(CultureInfo.InvariantCulture, $"{Remaining.TotalMilliseconds:0.#} ms");
}
