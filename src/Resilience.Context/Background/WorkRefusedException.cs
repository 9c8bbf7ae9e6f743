namespace Resilience.Context;

/// <summary>A <see cref="BackgroundWorkQueue"/> did not take work because it is full or has stopped.</summary>
public sealed class WorkRefusedException : InvalidOperationException
{
    /// <summary>Makes one without details.</summary>
    public WorkRefusedException()
        : this("The queue did not take the work.")
    {
    }

    /// <summary>Makes one without details.</summary>
    /// <param name="message">What happened.</param>
    public WorkRefusedException(string message)
        : base(message)
    {
    }

    /// <summary>Makes one without details.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="innerException">The cause.</param>
    public WorkRefusedException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    internal WorkRefusedException(string queue, bool isStopped, int waiting, int running, int capacity)
        : base(isStopped
            ? $"Background queue '{queue}' has stopped with its host and takes no more work ({waiting} waiting, {running} running)."
            : $"Background queue '{queue}' is full ({waiting}/{capacity} waiting, {running} running). Raise Capacity or Workers, or set WhenFull to Wait or DropOldest.")
    {
        Queue = queue;
        IsStopped = isStopped;
        Waiting = waiting;
        Capacity = capacity;
    }

    /// <summary>The name of the queue.</summary>
    public string? Queue { get; }

    /// <summary>Whether it has stopped; otherwise it is full.</summary>
    public bool IsStopped { get; }

    /// <summary>How many items were waiting.</summary>
    public int Waiting { get; }

    /// <summary>How many items may wait.</summary>
    public int Capacity { get; }
}
