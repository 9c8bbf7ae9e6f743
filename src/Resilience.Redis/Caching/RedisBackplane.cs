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
        var subscription = new Subscription(connection, new RedisChannel(_keys.Channel(channel), RedisChannel.PatternMode.Literal), onMessage, onConnection);
        await subscription.StartAsync().ConfigureAwait(false);
        return subscription;
    }

    public async Task<long> PublishAsync(string channel, byte[] body, CancellationToken cancellationToken)
    {
        IDatabase database = (await connection.GetAsync().ConfigureAwait(false)).GetDatabase();
        return (long)await database.ScriptEvaluateAsync(RedisScript.Publish, [_keys.Counter(channel)], [_keys.Channel(channel), body, _counterLifetime], CommandFlags.None).OnPool();
    }

    /// <summary>One listener. The client may drop a subscription by itself when it reconnects, so the owner subscribes anew whenever it is told of one.</summary>
    private sealed class Subscription(RedisConnection connection, RedisChannel channel, Action<BackplaneMessage> onMessage, Action<bool> onConnection) : IAsyncDisposable
    {
        private IConnectionMultiplexer? _multiplexer;

        public async Task StartAsync()
        {
            connection.Replaced += OnReplaced; // first: whoever is given a multiplexer that is about to go must hear of it
            try
            {
                _multiplexer = await connection.GetAsync().ConfigureAwait(false);
                _multiplexer.ConnectionFailed += OnFailed;
                _multiplexer.ConnectionRestored += OnRestored;
                await _multiplexer.GetSubscriber().SubscribeAsync(channel, OnMessage, CommandFlags.None).OnPool();
            }
            catch
            {
                Detach();
                throw;
            }
        }

        public ValueTask DisposeAsync()
        {
            Detach();
            try
            {
                // Not waited for, whatever the flag says: it is answered by the server, and never through a connection that died without a word.
                _multiplexer!.GetSubscriber().UnsubscribeAsync(channel, OnMessage, CommandFlags.FireAndForget).Observe();
            }
            catch (Exception)
            {
                // The connection is gone, or the multiplexer was closed, which this client says in several ways; the subscription is gone with it.
            }

            return ValueTask.CompletedTask;
        }

        private void Detach()
        {
            connection.Replaced -= OnReplaced;
            if (_multiplexer is { } multiplexer)
            {
                multiplexer.ConnectionFailed -= OnFailed;
                multiplexer.ConnectionRestored -= OnRestored;
            }
        }

        private void OnReplaced(object? sender, EventArgs empty) => onConnection(false);

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
