using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using StackExchange.Redis;

namespace Resilience.Redis;

/// <summary>
/// The one multiplexer of a configuration: connects at the first use, in the background, and reconnects by itself for ever. One that stays without an
/// answer though Redis is there gives way to a new one (<see cref="RedisOptions.ReconnectAfter"/>).
/// </summary>
/// <remarks>Thread-safe. A multiplexer that the application handed in is used as it is: never replaced, never disposed.</remarks>
public sealed class RedisConnection : IAsyncDisposable
{
    private readonly Lock _lock = new(); // guards _connecting, _watching, _isDisposed
    private readonly Func<Task<IConnectionMultiplexer>> _connect;
    private readonly bool _isOwn;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopping = new();
    private Task<IConnectionMultiplexer>? _connecting;
    private Task? _watching;
    private bool _isDisposed;
    private volatile IConnectionMultiplexer? _connected;
    private volatile bool _isUsed;

    internal RedisConnection(RedisOptions options, TimeProvider? time = null, ILogger<RedisConnection>? logger = null)
        : this(options, () => ConnectAsync(options), isOwn: true, time, logger)
    {
    }

    internal RedisConnection(RedisOptions options, IConnectionMultiplexer multiplexer)
        : this(options, () => Task.FromResult(multiplexer), isOwn: false, null, null)
    {
    }

    internal RedisConnection(RedisOptions options, Func<Task<IConnectionMultiplexer>> connect, bool isOwn, TimeProvider? time, ILogger<RedisConnection>? logger)
    {
        Options = options;
        _connect = connect;
        _isOwn = isOwn;
        _time = time ?? TimeProvider.System;
        _logger = (ILogger?)logger ?? NullLogger.Instance;
    }

    /// <summary>The settings.</summary>
    public RedisOptions Options { get; }

    /// <summary>Whether there is a Redis at all: servers are configured, or the application handed in a multiplexer.</summary>
    public bool IsConfigured => !_isOwn || !string.IsNullOrWhiteSpace(Options.Configuration);

    /// <summary>Whether a server is connected at the moment. Never connects.</summary>
    public bool IsConnected => _connected?.IsConnected ?? false;

    /// <summary>
    /// Told when a new multiplexer has taken the place of another, whose subscriptions are gone with it: whoever listens hangs on this before asking for
    /// the multiplexer. Called on the thread pool; must return at once and not throw.
    /// </summary>
    internal event EventHandler? Replaced;

    /// <summary>The multiplexer, connecting if need be. While the server is out it is had all the same, and its commands fail at once.</summary>
    /// <remarks>For the work at hand, not to be kept: another one may take its place.</remarks>
    /// <exception cref="RedisConnectionException">The configuration names no server that exists.</exception>
    public Task<IConnectionMultiplexer> GetAsync()
    {
        _isUsed = true;
        lock (_lock)
        {
            if (_connecting is null || (!_isDisposed && (_connecting.IsFaulted || _connecting.IsCanceled)))
            {
                using (ExecutionContext.SuppressFlow())
                {
                    _connecting = Task.Run(FirstAsync);
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
        Task? watching;
        lock (_lock)
        {
            if (_isDisposed)
            {
                return;
            }

            _isDisposed = true;
            (connecting, watching) = (_connecting, _watching);
            _connecting = Task.FromException<IConnectionMultiplexer>(new ObjectDisposedException(nameof(RedisConnection)));
            _ = _connecting.Exception;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        await (watching ?? Task.CompletedTask).ConfigureAwait(false);
        if (_isOwn && connecting is not null)
        {
            await CloseAsync(connecting).ConfigureAwait(false);
        }

        _stopping.Dispose();
    }

    /// <summary>Whether no other multiplexer has taken its place.</summary>
    internal bool IsCurrent(IConnectionMultiplexer? multiplexer) => ReferenceEquals(_connected, multiplexer);

    private async Task<IConnectionMultiplexer> FirstAsync()
    {
        IConnectionMultiplexer first = await _connect().OnPool();
        lock (_lock)
        {
            _connected = first;
            if (_isOwn && !_isDisposed)
            {
                _watching ??= Task.Run(WatchAsync);
            }
        }

        return first;
    }

    /// <summary>
    /// While the connection is used or somebody listens through it, asks through it for a sign of life. What the client does not see or mend by
    /// itself is a peer that vanished without a word (TCP takes a quarter of an hour to notice), and a client that got stuck. Throws nothing.
    /// </summary>
    private async Task WatchAsync()
    {
        var silences = new Silences(_time, Options.ReconnectAfter);
        while (true)
        {
            await Task.Delay(Options.ReconnectAfter / 4, _time, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_stopping.IsCancellationRequested)
            {
                return;
            }

            if (_isUsed || Replaced is not null)
            {
                _isUsed = false;
                await CheckAsync(silences).ConfigureAwait(false);
            }
        }
    }

    private async Task CheckAsync(Silences silences)
    {
        try
        {
            silences.Note(await ListenAsync(_connected!).ConfigureAwait(false));
            if (silences.TakeOverdue() is { Count: > 0 } overdue)
            {
                await TryReplaceAsync(overdue).ConfigureAwait(false);
            }
        }
        catch (Exception)
        {
            // No new connection is to be had either, or everything ends.
        }
    }

    /// <summary>Puts a new multiplexer in the place of one that is silent, if the new one is answered where the old one still is not.</summary>
    private async Task TryReplaceAsync(IReadOnlyCollection<string> silent)
    {
        IConnectionMultiplexer old = _connected!;
        Task<IConnectionMultiplexer> leaving = _connect();
        try
        {
            IConnectionMultiplexer fresh = await leaving.WaitAsync(_stopping.Token).OnPool();
            await Task.Delay(Options.ReconnectAfter / 20, _time, _stopping.Token).ConfigureAwait(false); // its connection for messages may come a little later
            SignsOfLife ofFresh = await ListenAsync(fresh).ConfigureAwait(false);
            SignsOfLife ofOld = await ListenAsync(old).ConfigureAwait(false);
            if (silent.Any(name => ofFresh.Answered.Contains(name) && ofOld.Silent.Contains(name)) && TrySwap(fresh))
            {
                leaving = Task.FromResult(old);
                RedisLog.ConnectionReplaced(_logger, Options.ReconnectAfter.TotalSeconds, string.Join(", ", silent));
                Replaced?.Invoke(this, EventArgs.Empty);
            }
        }
        finally
        {
            CloseAsync(leaving).Observe();
        }
    }

    private bool TrySwap(IConnectionMultiplexer fresh)
    {
        lock (_lock)
        {
            if (_isDisposed)
            {
                return false;
            }

            _connecting = Task.FromResult(fresh);
            _connected = fresh;
            return true;
        }
    }

    private Task<SignsOfLife> ListenAsync(IConnectionMultiplexer multiplexer) =>
        SignsOfLife.AskAsync(multiplexer, ofMessages: Replaced is not null, patience: Options.ReconnectAfter / 4, _time, _stopping.Token);

    private static async Task CloseAsync(Task<IConnectionMultiplexer> connecting)
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
