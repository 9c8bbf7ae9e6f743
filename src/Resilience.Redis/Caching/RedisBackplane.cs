using System.Buffers.Text;
using Resilience.Caching.Shared;
using StackExchange.Redis;

namespace Resilience.Redis.Caching;

/// <summary>Channels over Redis' publish and subscribe. The number of a message is counted and sent by one script.</summary>
internal sealed class RedisBackplane(RedisConnection connection) : IBackplane
{
    private readonly RedisKeys _keys = new(connection.Options.KeyPrefix);
    private readonly long _counterLifetime = (long)connection.Options.VersionLifetime.TotalMilliseconds;

    public async Task<IAsyncDisposable> SubscribeAsync(string channel, Action<BackplaneMessage> onMessage, Action<bool> onConnection, CancellationToken cancellationToken)
    {
        IConnectionMultiplexer multiplexer = await connection.GetAsync().ConfigureAwait(false);
        var subscription = new Subscription(multiplexer, new RedisChannel(_keys.Channel(channel), RedisChannel.PatternMode.Literal), onMessage, onConnection);
        await subscription.StartAsync().ConfigureAwait(false);
        return subscription;
    }

    public async Task<long> PublishAsync(string channel, byte[] body, CancellationToken cancellationToken)
    {
        IDatabase database = (await connection.GetAsync().ConfigureAwait(false)).GetDatabase();
        return (long)await database.ScriptEvaluateAsync(RedisScript.Publish, [_keys.Counter(channel)], [_keys.Channel(channel), body, _counterLifetime], CommandFlags.None).OnPool();
    }

    /// <summary>One listener. The client may drop a subscription by itself when it reconnects, so the owner subscribes anew whenever it is told of one.</summary>
    private sealed class Subscription(IConnectionMultiplexer multiplexer, RedisChannel channel, Action<BackplaneMessage> onMessage, Action<bool> onConnection) : IAsyncDisposable
    {
        public async Task StartAsync()
        {
            multiplexer.ConnectionFailed += OnFailed;
            multiplexer.ConnectionRestored += OnRestored;
            try
            {
                await multiplexer.GetSubscriber().SubscribeAsync(channel, OnMessage, CommandFlags.None).OnPool();
            }
            catch
            {
                Detach();
                throw;
            }
        }

        public async ValueTask DisposeAsync()
        {
            Detach();
            try
            {
                // Not waited for: without a connection the client answers to this only when there is one again.
                await multiplexer.GetSubscriber().UnsubscribeAsync(channel, OnMessage, CommandFlags.FireAndForget).OnPool();
            }
            catch (Exception exception) when (exception is RedisException or TimeoutException or ObjectDisposedException)
            {
                // The connection is gone, and the subscription with it.
            }
        }

        private void Detach()
        {
            multiplexer.ConnectionFailed -= OnFailed;
            multiplexer.ConnectionRestored -= OnRestored;
        }

        private void OnFailed(object? sender, ConnectionFailedEventArgs failure) => onConnection(false);

        private void OnRestored(object? sender, ConnectionFailedEventArgs restored)
        {
            if (restored.ConnectionType == ConnectionType.Subscription)
            {
                onConnection(true);
            }
        }

        private void OnMessage(RedisChannel from, RedisValue value)
        {
            if ((byte[]?)value is not { } bytes)
            {
                return;
            }

            // What cannot be read still counts as heard: with no number it will be missed, and that is what it means.
            if (Utf8Parser.TryParse(bytes, out long sequence, out int digits) && digits < bytes.Length && bytes[digits] == (byte)':')
            {
                onMessage(new BackplaneMessage(sequence, bytes.AsMemory(digits + 1)));
            }
        }
    }
}
