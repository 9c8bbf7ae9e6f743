using Resilience.Context;

namespace Resilience.Caching.Shared;

/// <summary>The time that one call of a user may spend on the shared tier, however many calls of the tier it takes.</summary>
internal readonly struct SharedBudget(CoarseClock clock, TimeSpan whole)
{
    private readonly long _end = clock.Milliseconds + (long)Math.Ceiling(whole.TotalMilliseconds);

    /// <summary>What is left; zero or less when it is used up.</summary>
    public TimeSpan Left => TimeSpan.FromMilliseconds(_end - clock.Milliseconds);
}
