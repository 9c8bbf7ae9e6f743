using System.Threading.Channels;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Backplane;

/// <summary>
/// This node's end of the channel: listens, proves by pings through the channel that it hears, and makes the node distrust its local
/// tier whenever it may have missed something.
/// </summary>
internal sealed class BackplaneLink : IAsyncDisposable
{
    private static readonly TimeSpan PatienceToSubscribe = TimeSpan.FromSeconds(5);

    /// <summary>Between two attempts; while it lasts the node is deaf though the channel may be back.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(500);

    private readonly CacheCore _core;
    private readonly WritePath _writes;
    private readonly IBackplane _backplane;
    private readonly string _channel;
    private readonly long _self = Random.Shared.NextInt64();
    private readonly Channel<BackplaneMessage> _inbox;
    private readonly CancellationTokenSource _stopping = new();
    private readonly SequenceTracker _tracker = new(); // touched by the listener's loop alone
    private readonly SemaphoreSlim _wake = new(0, 1);
    private volatile bool _isConnectionLost;
    private volatile bool _overflowed;
    private volatile bool _startsAnew;
    private long _heardAt;
    private long _heardUpTo = -1;
    private Task _listening = Task.CompletedTask;
    private Task _keeping = Task.CompletedTask;
    private int _failures;

    public BackplaneLink(CacheCore core, WritePath writes, IBackplane backplane)
    {
        _core = core;
        _writes = writes;
        _backplane = backplane;
        _channel = core.KeyPrefix + "changes";
        Announcer = new Announcer(core, backplane, _channel, _self);
        _inbox = Channel.CreateBounded<BackplaneMessage>(new BoundedChannelOptions(core.Settings.Shared.Backplane.MaxPending) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    }

    public Announcer Announcer { get; }

    /// <summary>Called when there is a connection again, which says something of the shared tier too.</summary>
    public Action? Connected { get; init; }

    /// <summary>Whether the node is known to hear.</summary>
    public bool IsUp { get; private set; }

    /// <summary>Starts to listen, in the background.</summary>
    public void Start()
    {
        _core.IsBlind = true;
        using (ExecutionContext.SuppressFlow())
        {
            _listening = Task.Run(ListenAsync);
            _keeping = Task.Run(KeepAsync);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Announcer.DisposeAsync().ConfigureAwait(false);
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _keeping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _listening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private BackplaneOptions Options => _core.Settings.Shared.Backplane;

    /// <summary>Subscribes, proves, watches; and again, whenever that fails.</summary>
    private async Task KeepAsync()
    {
        TimeSpan pause = TimeSpan.FromMilliseconds(100);
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                _isConnectionLost = false;
                _startsAnew = true;
                IAsyncDisposable subscription = await SubscribeAsync().ConfigureAwait(false);
                await using (subscription.ConfigureAwait(false))
                {
                    await ProveAsync().ConfigureAwait(false);
                    Up();
                    pause = TimeSpan.FromMilliseconds(100);
                    await WatchAsync().ConfigureAwait(false);
                }
            }
            catch (Exception exception) when (!_stopping.IsCancellationRequested)
            {
                if (++_failures == 1)
                {
                    CachingLog.BackplaneFailed(_core.Logger, _core.Name, _failures, exception);
                }
            }
            catch (OperationCanceledException)
            {
                return;
            }

            Down();
            await Task.Delay(pause * (0.8 + (0.4 * _core.Random())), _core.Time, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    /// <summary>Subscribes. A subscription that comes true only after patience has ended is given up again: it would be heard beside the next one for ever.</summary>
    private async Task<IAsyncDisposable> SubscribeAsync()
    {
        Task<IAsyncDisposable> subscribing = _backplane.SubscribeAsync(_channel, OnMessage, OnConnection, _stopping.Token);
        try
        {
            return await subscribing.WaitAsync(PatienceToSubscribe, _core.Time, _stopping.Token).ConfigureAwait(false);
        }
        catch
        {
            _ = GiveUpAsync(subscribing);
            throw;
        }
    }

    private static async Task GiveUpAsync(Task<IAsyncDisposable> subscribing)
    {
        try
        {
            await (await subscribing.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception)
        {
            // It never came true, or ended with its connection.
        }
    }

    /// <summary>Sends a ping and waits until it comes back through the channel.</summary>
    private async Task ProveAsync()
    {
        Volatile.Write(ref _heardUpTo, -1); // A number from before proves nothing: the counter may have begun anew since.
        TimeSpan timeout = _core.Settings.Shared.HardTimeout;
        long number = await Announcer.PingAsync().Observed().WaitAsync(timeout, _core.Time, _stopping.Token).ConfigureAwait(false);
        long until = _core.Clock.Milliseconds + (long)timeout.TotalMilliseconds;
        while (Volatile.Read(ref _heardUpTo) < number)
        {
            if (_core.Clock.Milliseconds >= until || _isConnectionLost)
            {
                throw new TimeoutException($"Cache '{_core.Name}': a ping through the channel of changes did not come back within {timeout.TotalMilliseconds:0} ms.");
            }

            await WaitAsync(TimeSpan.FromMilliseconds(Math.Max(1, until - _core.Clock.Milliseconds))).ConfigureAwait(false);
        }
    }

    /// <summary>Pings whenever nothing was heard for a heartbeat; ends when the connection is lost, throws when a ping is.</summary>
    private async Task WatchAsync()
    {
        while (!_stopping.IsCancellationRequested && !_isConnectionLost)
        {
            TimeSpan beat = Options.Heartbeat * (0.9 + (0.2 * _core.Random()));
            await WaitAsync(beat).ConfigureAwait(false);
            if (!_isConnectionLost && _core.Clock.Milliseconds - Volatile.Read(ref _heardAt) >= beat.TotalMilliseconds * 0.9)
            {
                await ProveAsync().ConfigureAwait(false);
            }
        }
    }

    private async Task WaitAsync(TimeSpan atMost)
    {
        using var timeout = new CancellationTokenSource(atMost, _core.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stopping.Token);
        await _wake.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stopping.Token.ThrowIfCancellationRequested();
    }

    private void Up()
    {
        _failures = 0;
        IsUp = true;
        _core.IsBlind = false;
        CachingLog.BackplaneUp(_core.Logger, _core.Name);

        // Whatever was announced before we heard, we have missed.
        Distrust("the channel was (re)connected");
        Connected?.Invoke();
    }

    private void Down()
    {
        if (IsUp)
        {
            IsUp = false;
            _core.IsBlind = true;
            Distrust("the channel was lost");
        }
    }

    private void Distrust(string reason)
    {
        _core.Distrust();
        CachingLog.Distrusted(_core.Logger, _core.Name, reason);
    }

    private void OnConnection(bool isUp)
    {
        // Back or gone: either way messages may be missing, and the subscription has to be proved again.
        _isConnectionLost = true;
        Wake();
        if (isUp)
        {
            Connected?.Invoke();
        }
    }

    private void OnMessage(BackplaneMessage message)
    {
        if (!_inbox.Writer.TryWrite(message))
        {
            _overflowed = true;
        }
    }

    private void Wake()
    {
        if (_wake.CurrentCount == 0)
        {
            try
            {
                _wake.Release();
            }
            catch (SemaphoreFullException)
            {
                // Somebody else has woken it in the same moment.
            }
        }
    }

    private async Task ListenAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            long gap = _tracker.GapSince;
            Task<bool> more = _inbox.Reader.WaitToReadAsync(_stopping.Token).AsTask();
            if (gap != long.MaxValue && !more.IsCompleted)
            {
                await Task.WhenAny(more, Task.Delay(Options.ReorderWithin, _core.Time, _stopping.Token)).ConfigureAwait(false);
            }
            else
            {
                await ((Task)more).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            try
            {
                HearAll();
            }
            catch (Exception)
            {
                // Such as a log that fails. What it concerned is found out by comparing; to listen no more would be for ever.
                _core.Distrust();
            }

            Wake();
        }
    }

    private void HearAll()
    {
        while (_inbox.Reader.TryRead(out BackplaneMessage message))
        {
            Hear(message);
        }

        if (_overflowed)
        {
            _overflowed = false;
            Distrust("messages came faster than they could be read");
        }

        if (!_tracker.Check(_core.Clock.Milliseconds, (long)Options.ReorderWithin.TotalMilliseconds))
        {
            Distrust("a message is missing");
        }
    }

    private void Hear(BackplaneMessage message)
    {
        _core.Statistics.Add(CacheCount.MessagesHeard);
        Volatile.Write(ref _heardAt, _core.Clock.Milliseconds);
        Volatile.Write(ref _heardUpTo, Math.Max(message.Sequence, Volatile.Read(ref _heardUpTo)));
        if (_startsAnew)
        {
            // Whatever was missed until here is known to be missed.
            _startsAnew = false;
            _tracker.Reset();
        }

        if (!_tracker.Take(message.Sequence, _core.Clock.Milliseconds))
        {
            Distrust("too many messages are missing, or they are numbered anew");
        }

        if (!ChangeCodec.TryRead(message.Body.Span, out long sender, out Change[] changes))
        {
            Distrust("a message could not be read");
            return;
        }

        if (sender == _self)
        {
            return;
        }

        foreach (Change change in changes)
        {
            switch (change.Kind)
            {
                case ChangeKind.Key or ChangeKind.KeyExpired:
                    _writes.HearKey(change.Name, change.Version, isRemoval: change.Kind == ChangeKind.Key);
                    break;
                case ChangeKind.Tag:
                    _core.Versions!.Hear(change.Name, change.Tag);
                    break;
                case ChangeKind.Lost:
                    Distrust("another node could not announce its changes");
                    break;
            }
        }
    }
}
