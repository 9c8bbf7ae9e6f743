using Resilience.Settings;
using StackExchange.Redis;

namespace Resilience.Redis;

/// <summary>The one multiplexer of a configuration: connects at the first use, in the background, and reconnects by itself for ever.</summary>
/// <remarks>Thread-safe. A multiplexer that the application handed in is used and never disposed.</remarks>
public sealed class RedisConnection : IAsyncDisposable
{
    private readonly Lock _lock = new(); // guards _connecting
    private readonly Func<Task<IConnectionMultiplexer>> _connect;
    private readonly bool _isOwn;
    private Task<IConnectionMultiplexer>? _connecting;
    private volatile IConnectionMultiplexer? _connected;

    internal RedisConnection(RedisOptions options)
    {
        Options = options;
        _isOwn = true;
        _connect = () => ConnectAsync(options);
    }

    internal RedisConnection(RedisOptions options, IConnectionMultiplexer multiplexer)
    {
        Options = options;
        _connect = () => Task.FromResult(multiplexer);
    }

    /// <summary>The settings.</summary>
    public RedisOptions Options { get; }

    /// <summary>Whether there is a Redis at all: servers are configured, or the application handed in a multiplexer.</summary>
    public bool IsConfigured => !_isOwn || !string.IsNullOrWhiteSpace(Options.Configuration);

    /// <summary>Whether a server is connected at the moment. Never connects.</summary>
    public bool IsConnected => _connected?.IsConnected ?? false;

    /// <summary>The multiplexer, connecting if need be. While the server is out it is had all the same, and its commands fail at once.</summary>
    /// <exception cref="RedisConnectionException">The configuration names no server that exists.</exception>
    public Task<IConnectionMultiplexer> GetAsync()
    {
        lock (_lock)
        {
            if (_connecting is null or { IsFaulted: true } or { IsCanceled: true })
            {
                using (ExecutionContext.SuppressFlow())
                {
                    _connecting = Task.Run<IConnectionMultiplexer>(async () => _connected = await _connect().OnPool());
                }
            }

            return _connecting;
        }
    }

    /// <summary>Asks Redis for a sign of life, connecting if need be.</summary>
    /// <param name="patience">How long to wait for it.</param>
    /// <param name="timeProvider">The clock; the system's when <see langword="null"/>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>How long the round trip took; <see langword="null"/> when there was no answer in time.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async ValueTask<TimeSpan?> TryPingAsync(TimeSpan patience, TimeProvider? timeProvider = null, CancellationToken cancellationToken = default)
    {
        TimeProvider time = timeProvider ?? TimeProvider.System;
        try
        {
            IConnectionMultiplexer multiplexer = await GetAsync().WaitAsync(patience, time, cancellationToken).ConfigureAwait(false);
            return await multiplexer.GetDatabase().PingAsync(CommandFlags.None).WaitAsync(patience, time, cancellationToken).OnPool();
        }
        catch (Exception exception) when (exception is RedisException or TimeoutException or ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>Closes the connection, if it is this object's own.</summary>
    public async ValueTask DisposeAsync()
    {
        Task<IConnectionMultiplexer>? connecting;
        lock (_lock)
        {
            connecting = _connecting;
            _connecting = Task.FromException<IConnectionMultiplexer>(new ObjectDisposedException(nameof(RedisConnection)));
            _ = _connecting.Exception;
        }

        if (_isOwn && connecting is not null)
        {
            try
            {
                IConnectionMultiplexer multiplexer = await connecting.ConfigureAwait(false);
                await multiplexer.CloseAsync(allowCommandsToComplete: false).OnPool();
                multiplexer.Dispose();
            }
            catch (Exception)
            {
                // It never connected, or was never told how to: there is nothing to close.
            }
        }
    }

    private static async Task<IConnectionMultiplexer> ConnectAsync(RedisOptions options)
    {
        ConfigurationOptions configuration = ConfigurationOptions.Parse(options.Configuration!);

        // An application that starts while Redis is down must start; the multiplexer goes on trying.
        configuration.AbortOnConnectFail = false;
        configuration.ConnectTimeout = (int)options.ConnectTimeout.TotalMilliseconds;
        configuration.SyncTimeout = (int)options.CommandTimeout.TotalMilliseconds;
        configuration.KeepAlive = (int)options.KeepAlive.TotalSeconds;
        configuration.ReconnectRetryPolicy = new LinearRetry(500);

        // The client's own coordination keys and channel, which this package has no use for and an ACL need not allow.
        configuration.TieBreaker = "";
        configuration.ConfigurationChannel = "";
        return await ConnectionMultiplexer.ConnectAsync(configuration).ConfigureAwait(false);
    }
}
