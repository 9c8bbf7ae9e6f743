namespace Resilience.Context;

/// <summary>
/// The deadline of the request has passed, or too little of it is left for what was asked. It is a cancellation, as with the timeout of an
/// HTTP client: nobody waits for an answer, so nothing should be tried again.
/// </summary>
public sealed class DeadlineExceededException : OperationCanceledException
{
    /// <summary>Makes one without figures.</summary>
    public DeadlineExceededException()
        : this("The deadline of the request has passed.")
    {
    }

    /// <summary>Makes one without figures.</summary>
    /// <param name="message">What happened.</param>
    public DeadlineExceededException(string message)
        : base(message)
    {
    }

    /// <summary>Makes one without figures.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="innerException">The cause.</param>
    public DeadlineExceededException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Makes one with what was measured.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="remaining">What was left.</param>
    /// <param name="needed">The least that would have been needed.</param>
    /// <param name="isCallerChosen">Whether the caller chose the deadline.</param>
    /// <param name="innerException">The cause, if there is one.</param>
    /// <param name="token">The token that was cancelled, if one was.</param>
    public DeadlineExceededException(string message, TimeSpan remaining, TimeSpan needed, bool isCallerChosen, Exception? innerException = null, CancellationToken token = default)
        : base(message, innerException, token)
    {
        Remaining = remaining;
        Needed = needed;
        IsCallerChosen = isCallerChosen;
    }

    /// <summary>What was left of the deadline; zero when it had passed.</summary>
    public TimeSpan Remaining { get; }

    /// <summary>The least that would have been needed; zero when the work had begun.</summary>
    public TimeSpan Needed { get; }

    /// <summary>
    /// Whether the caller chose the deadline. Then its passing says nothing about our health: breakers should not count it, and it is not
    /// our failure.
    /// </summary>
    public bool IsCallerChosen { get; }
}
