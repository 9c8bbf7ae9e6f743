using Resilience.Caching.Backplane;
using Resilience.Caching.Shared;

namespace Resilience.Redis.Tests.Caching;

/// <summary>
/// A broken listener: of every message it loses the changes that a filter picks, while the message itself, its number and its other changes
/// come. No gap gives it away, so only what the node then reads can.
/// </summary>
internal sealed class DeafBackplane(IBackplane inner, Func<Change, bool> isLost) : IBackplane
{
    public Task<IAsyncDisposable> SubscribeAsync(string channel, Action<BackplaneMessage> onMessage, Action<bool> onConnection, CancellationToken cancellationToken) =>
        inner.SubscribeAsync(channel, message => onMessage(message with { Body = Strip(message.Body) }), onConnection, cancellationToken);

    public Task<long> PublishAsync(string channel, byte[] body, CancellationToken cancellationToken) => inner.PublishAsync(channel, body, cancellationToken);

    private ReadOnlyMemory<byte> Strip(ReadOnlyMemory<byte> body) =>
        ChangeCodec.TryRead(body.Span, out long sender, out Change[] changes) ? ChangeCodec.Write(sender, Array.FindAll(changes, change => !isLost(change))) : body;
}
