namespace Resilience.Caching.Guard;

/// <summary>
/// An addition could not be made known to the other nodes. Do not commit the row: they may refuse its key until their next rebuild.
/// </summary>
public sealed class GuardJournalException : Exception
{
    /// <summary>Makes one.</summary>
    /// <param name="guard">The name of the guard.</param>
    /// <param name="keys">How many keys were to be added.</param>
    /// <param name="innerException">What the journal said.</param>
    public GuardJournalException(string guard, int keys, Exception? innerException)
        : base($"Guard '{guard}': {keys} key(s) could not be written to the shared journal. Do not commit their rows, or other nodes may refuse them until their next rebuild; try again once Redis can be reached.", innerException)
    {
        Guard = guard;
        Keys = keys;
    }

    /// <summary>The name of the guard.</summary>
    public string Guard { get; }

    /// <summary>How many keys were to be added.</summary>
    public int Keys { get; }
}
