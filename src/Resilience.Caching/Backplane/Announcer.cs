using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Backplane;

/// <summary>
/// Sends this node's changes: one message for all that gathered while the last one was on its way, the newest per name. What cannot be
/// sent is sent later; when too much gathers, it is replaced by one change that makes everybody compare.
/// </summary>
internal sealed class Announcer(CacheCore core, IBackplane backplane, string channel, long sender) : IAsyncDisposable
{
    private const int MaxBatch = 512;

    /// <summary>For as long as this others may not know of a change after the channel is back, so it is short; an attempt costs a message.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(250);

    private readonly Lock _lock = new(); // guards _waiting, _losses, _lossesSaid, _sending
    private readonly Dictionary<(bool IsTag, string Name), Change> _waiting = [];
    private readonly CancellationTokenSource _stopping = new();
    private long _losses; // how often too much has gathered
    private long _lossesSaid;
    private Task _sending = Task.CompletedTask;

    /// <summary>How many wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Takes a change. Returns at once.</summary>
    public void Announce(Change change)
    {
        lock (_lock)
        {
            var name = (change.Kind == ChangeKind.Tag, change.Name);
            if (_waiting.ContainsKey(name) || _waiting.Count < core.Settings.Shared.Backplane.MaxPending)
            {
                _waiting[name] = change;
            }
            else
            {
                _losses++;
                _waiting.Clear();
            }

            if (_sending.IsCompleted && !_stopping.IsCancellationRequested)
            {
                using (ExecutionContext.SuppressFlow())
                {
                    _sending = Task.Run(SendAsync);
                }
            }
        }
    }

    /// <summary>Sends a heartbeat and returns its number.</summary>
    public Task<long> PingAsync() => backplane.PublishAsync(channel, ChangeCodec.Write(sender, []), _stopping.Token);

    public async ValueTask DisposeAsync()
    {
        Task sending;
        lock (_lock)
        {
            sending = _sending;
        }

        await Task.WhenAny(sending, Task.Delay(core.Settings.Shared.HardTimeout, core.Time)).ConfigureAwait(false);
        await _stopping.CancelAsync().ConfigureAwait(false);
        await sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task SendAsync()
    {
        TimeSpan pause = TimeSpan.FromMilliseconds(50);
        while (!_stopping.IsCancellationRequested)
        {
            List<Change> batch;
            lock (_lock)
            {
                batch = [.. _waiting.Values.Take(MaxBatch)];
                if (_losses != _lossesSaid)
                {
                    batch = [new Change(ChangeKind.Lost, "", _losses, default)];
                }

                if (batch.Count == 0)
                {
                    _sending = Task.CompletedTask;
                    return;
                }
            }

            try
            {
                await backplane.PublishAsync(channel, ChangeCodec.Write(sender, batch), _stopping.Token).Observed().WaitAsync(core.Settings.Shared.HardTimeout, core.Time, _stopping.Token).ConfigureAwait(false);
                core.Statistics.Add(CacheCount.MessagesSent);
                pause = TimeSpan.FromMilliseconds(50);
                Settle(batch);
            }
            catch (Exception) when (!_stopping.IsCancellationRequested)
            {
                // Said by the heartbeat, which fails for the same reason; here there is only to try again.
                await Task.Delay(pause * (0.8 + (0.4 * core.Random())), core.Time, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = pause * 2 > LongestPause ? LongestPause : pause * 2;
            }
        }
    }

    private void Settle(List<Change> sent)
    {
        lock (_lock)
        {
            foreach (Change change in sent)
            {
                if (change.Kind == ChangeKind.Lost)
                {
                    _lossesSaid = change.Version; // of what was lost since it was sent nobody has been told
                    continue;
                }

                var name = (change.Kind == ChangeKind.Tag, change.Name);
                if (_waiting.TryGetValue(name, out Change current) && current == change)
                {
                    _waiting.Remove(name);
                }
            }
        }
    }
}
