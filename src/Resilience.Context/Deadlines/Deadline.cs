using System.Globalization;

namespace Resilience.Context;

/// <summary>
/// The moment after which nobody waits for an answer any more: a point on a provider's monotonic clock, so that no jump of the wall
/// clock moves it. The default value is <see cref="None"/>: no deadline.
/// </summary>
/// <remarks>Immutable and thread-safe. Deadlines of different providers must not be mixed.</remarks>
public readonly struct Deadline : IEquatable<Deadline>
{
    private readonly TimeProvider? _provider;
    private readonly long _due;

    private Deadline(TimeProvider provider, long due)
    {
        _provider = provider;
        _due = due;
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
            if (_provider is null)
            {
                return Timeout.InfiniteTimeSpan;
            }

            long now = _provider.GetTimestamp();
            return now >= _due ? TimeSpan.Zero : _provider.GetElapsedTime(now, _due);
        }
    }

    /// <summary>Whether the moment has come. Always false for <see cref="None"/>.</summary>
    public bool IsExpired => _provider is not null && _provider.GetTimestamp() >= _due;

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
        return new Deadline(timeProvider, ticks >= long.MaxValue - now ? long.MaxValue : now + (long)ticks);
    }

    /// <summary>The earlier of two deadlines; <see cref="None"/> is later than every other.</summary>
    public static Deadline Min(Deadline left, Deadline right) =>
        left._provider is null ? right : right._provider is null || left._due <= right._due ? left : right;

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
