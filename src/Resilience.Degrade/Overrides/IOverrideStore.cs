namespace Resilience.Degrade;

/// <summary>
/// Where overrides are kept and shared. Losing the store changes nothing: what is in force stays until it ends, and an operator can still do less
/// on the node at hand.
/// </summary>
/// <remarks>Implementations are thread-safe. What they hand out is checked again by the receiver: signature, age, revision and term.</remarks>
public interface IOverrideStore
{
    /// <summary>What was in force when last known; called once at start.</summary>
    /// <param name="cancellationToken">Ends the attempt.</param>
    ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken);

    /// <summary>Keeps a command and gives it its revision, greater than every one before.</summary>
    /// <param name="command">The command.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>The command with its revision.</returns>
    ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken);

    /// <summary>The commands of other nodes as they come; ends or throws when the connection is lost, and is called again.</summary>
    /// <param name="cancellationToken">Ends the stream.</param>
    IAsyncEnumerable<OverrideCommand> WatchAsync(CancellationToken cancellationToken);
}

/// <summary>Where it is written down who overrode what, append-only and before it takes effect.</summary>
public interface IOverrideAudit
{
    /// <summary>Writes one entry. A failure stops a command that would make a feature do more; one that makes it do less goes on.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    ValueTask WriteAsync(OverrideAuditEntry entry, CancellationToken cancellationToken);
}
