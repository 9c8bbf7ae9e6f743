namespace Resilience.Context;

/// <summary>
/// What may come in and go out of a budget of time: an upper limit for what a caller may ask for, and a margin that is kept back on the way
/// out so that the callee gives up before its caller does.
/// </summary>
/// <remarks>Immutable and thread-safe.</remarks>
public sealed record DeadlinePolicy
{
    /// <summary>The policy with the default settings.</summary>
    public static DeadlinePolicy Default { get; } = new();

    /// <summary>The longest time that a caller may ask for; one minute by default.</summary>
    public TimeSpan MaxInbound { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The share of what remains that is kept back; 0.02 by default.</summary>
    public double MarginShare { get; init; } = 0.02;

    /// <summary>The least that is kept back; 2 ms by default.</summary>
    public TimeSpan MinimumMargin { get; init; } = TimeSpan.FromMilliseconds(2);

    /// <summary>The most that is kept back; 100 ms by default.</summary>
    public TimeSpan MaximumMargin { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>A call that could be given less is not sent; 5 ms by default.</summary>
    public TimeSpan MinimumUseful { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>The policy that settings describe.</summary>
    /// <param name="settings">Valid settings.</param>
    public static DeadlinePolicy From(ContextSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return new DeadlinePolicy
        {
            MaxInbound = settings.MaxInboundTimeout,
            MarginShare = settings.Deadline.MarginShare,
            MinimumMargin = settings.Deadline.MinimumMargin,
            MaximumMargin = settings.Deadline.MaximumMargin,
            MinimumUseful = settings.Deadline.MinimumUseful,
        };
    }

    /// <summary>What is granted of what a caller asks for: between zero and <see cref="MaxInbound"/>.</summary>
    /// <param name="asked">What the header said.</param>
    public TimeSpan Inbound(TimeSpan asked) =>
        asked < TimeSpan.Zero ? TimeSpan.Zero : asked < MaxInbound ? asked : MaxInbound;

    /// <summary>
    /// The budget of one attempt: the shorter of what is left and the client's own limit, less the margin, in whole milliseconds, rounded
    /// down.
    /// </summary>
    /// <param name="remaining">What is left of the deadline; infinite when there is none.</param>
    /// <param name="clientLimit">The client's own limit for an attempt; infinite when there is none.</param>
    /// <param name="budget">The budget to send; infinite when neither limits. Zero when the answer is false.</param>
    /// <returns>Whether the budget is worth a call; not when it is below <see cref="MinimumUseful"/>.</returns>
    public bool TryOutbound(TimeSpan remaining, TimeSpan clientLimit, out TimeSpan budget)
    {
        TimeSpan limit = remaining == Timeout.InfiniteTimeSpan ? clientLimit
            : clientLimit == Timeout.InfiniteTimeSpan || remaining < clientLimit ? remaining : clientLimit;
        if (limit == Timeout.InfiniteTimeSpan)
        {
            budget = limit;
            return true;
        }

        long ticks = (limit - Margin(limit)).Ticks;
        budget = ticks <= 0 ? TimeSpan.Zero : new TimeSpan(ticks - (ticks % TimeSpan.TicksPerMillisecond));
        if (budget >= MinimumUseful)
        {
            return true;
        }

        budget = TimeSpan.Zero;
        return false;
    }

    private TimeSpan Margin(TimeSpan limit)
    {
        TimeSpan margin = limit * MarginShare;
        return margin < MinimumMargin ? MinimumMargin : margin > MaximumMargin ? MaximumMargin : margin;
    }
}
