namespace Resilience.Degrade;

/// <summary>
/// Where overrides are kept and shared. Losing the store changes nothing: what is in force stays until it ends, and an operator can still do less
/// on the node at hand.
/// </summary>
/// <remarks>
/// Implementations are thread-safe. One whose content others could write keeps <see cref="OverrideCodec.Write"/>'s text and hands out only what
/// <see cref="OverrideCodec.TryRead"/> accepts; term, age and revision are checked by the receiver. An operator waits for it: implementations bound
/// their own waits, and throw when they cannot do what they are asked.
/// </remarks>
public interface IOverrideStore
{
    /// <summary>
    /// The last command of each feature, lifted overrides included. Called at start, and again and again afterwards: that is what heals a lost message.
    /// </summary>
    /// <param name="cancellationToken">Ends the attempt.</param>
    ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken);

    /// <summary>Keeps a command, gives it its revision and tells the other nodes.</summary>
    /// <param name="command">The command. Its revision is the greatest that this node knows; a store that has lost its own count goes on from there.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>The command with a revision greater than the one it came with and than every one in the store.</returns>
    ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken);

    /// <summary>
    /// The commands of other nodes as they come. It may miss some, and may give back this node's own; it ends or throws when the connection is lost,
    /// and is called again.
    /// </summary>
    /// <param name="cancellationToken">Ends the stream.</param>
    IAsyncEnumerable<OverrideCommand> WatchAsync(CancellationToken cancellationToken);
}

