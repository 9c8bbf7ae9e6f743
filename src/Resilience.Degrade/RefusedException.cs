namespace Resilience.Degrade;

/// <summary>Work was not begun because there is too much of it.</summary>
public sealed class RefusedException : Exception
{
    internal RefusedException(string message, TimeSpan? retryAfter)
        : base(message)
    {
        RetryAfter = retryAfter;
    }

    /// <summary>After what time it is worth trying again, where that is known.</summary>
    public TimeSpan? RetryAfter { get; }
}
