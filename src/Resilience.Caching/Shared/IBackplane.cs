namespace Resilience.Caching.Shared;

/// <summary>A channel on which nodes tell one another of changes. It may lose messages; the cache finds out by their numbers.</summary>
/// <remarks>Thread-safe. Nothing connects before the first call.</remarks>
public interface IBackplane
{
    /// <summary>Listens to a channel.</summary>
    /// <param name="channel">The channel's name, complete but for the deployment's prefix.</param>
    /// <param name="onMessage">Called with each message, on a thread of the transport: must return at once and not throw.</param>
    /// <param name="onConnection">Called with true when the connection came (back), false when it was lost; messages in between may be missing.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <returns>Dispose it to listen no more.</returns>
    Task<IAsyncDisposable> SubscribeAsync(string channel, Action<BackplaneMessage> onMessage, Action<bool> onConnection, CancellationToken cancellationToken);

    /// <summary>Sends a message to all listeners, this node's own included, with the channel's next number.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="body">The message.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <returns>
    /// The number: one more than that of the message before it on this channel, whoever sent it. A counter that was lost must go on above where it was,
    /// as one that begins at the clock in microseconds does, or more than 1,024 below; else nobody notices that messages are missing.
    /// </returns>
    Task<long> PublishAsync(string channel, byte[] body, CancellationToken cancellationToken);
}

/// <summary>A message that came in.</summary>
/// <param name="Sequence">Its number on the channel.</param>
/// <param name="Body">What was sent.</param>
public readonly record struct BackplaneMessage(long Sequence, ReadOnlyMemory<byte> Body);
