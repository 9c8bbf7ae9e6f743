using System.Collections.Concurrent;
using System.Globalization;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Tests.Shared;

/// <summary>A shared tier, backplane and lease store in memory, which several caches may stand on, and which can be made to fail, wait or forget.</summary>
internal sealed class FakeSharedTier : ISharedTier, IBackplane, ILeaseStore
{
    private readonly Lock _lock = new(); // guards everything below
    private readonly Dictionary<string, byte[]> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TagVersion> _versions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (string Token, long Fence)> _leases = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _fences = new(StringComparer.Ordinal);
    private readonly List<(string Channel, Action<BackplaneMessage> OnMessage, Action<bool> OnConnection)> _listeners = [];
    private long _sequence;
    private long _clock = 1_000_000;

    public bool IsAtomic { get; set; } = true;

    /// <summary>Awaited before each call.</summary>
    public Func<string, Task>? Before { get; set; }

    /// <summary>Awaited after a call has taken effect, before its caller is told.</summary>
    public Func<string, Task>? After { get; set; }

    public bool Fails { get; set; }

    public bool DropsMessages { get; set; }

    public ConcurrentQueue<string> Calls { get; } = [];

    public int Reads => Calls.Count(call => call == "read");

    /// <summary>How many listen.</summary>
    public int Listeners
    {
        get
        {
            lock (_lock)
            {
                return _listeners.Count;
            }
        }
    }

    /// <summary>How many subscriptions have come true so far.</summary>
    public int HasSubscribed { get; private set; }

    public IReadOnlyCollection<string> Keys
    {
        get
        {
            lock (_lock)
            {
                return [.. _values.Keys];
            }
        }
    }

    public byte[]? this[string key]
    {
        get
        {
            lock (_lock)
            {
                return _values.GetValueOrDefault(key);
            }
        }

        set
        {
            lock (_lock)
            {
                _values[key] = value!;
            }
        }
    }

    /// <summary>Restarts empty.</summary>
    public void Forget()
    {
        lock (_lock)
        {
            _values.Clear();
            _versions.Clear();
            _sequence = 0;
            _clock += 1_000_000;
        }
    }

    public void Disconnect(bool isBack)
    {
        foreach (var listener in AllListeners())
        {
            listener.OnConnection(isBack);
        }
    }

    public Task<byte[]?> ReadAsync(string key, CancellationToken cancellationToken) => RunAsync("read", () => _values.GetValueOrDefault(key));

    public Task<byte[]?[]> ReadManyAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken) =>
        RunAsync("readmany", () => keys.Select(key => _values.GetValueOrDefault(key)).ToArray());

    public Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken) => RunAsync("write", () =>
    {
        if (write.IsConditional && IsAtomic)
        {
            if (SharedEnvelope.Version(_values.GetValueOrDefault(write.Key)) != write.Expected || (write.Fence != 0 && _fences.GetValueOrDefault(write.Key) != write.Fence))
            {
                return false;
            }
        }

        _values[write.Key] = write.Value;
        return true;
    });

    public Task ExpireAsync(string key, long version, TimeSpan tombstoneLifetime, CancellationToken cancellationToken) => RunAsync("expire", () =>
    {
        byte[] value = _values.TryGetValue(key, out byte[]? stored) && stored.Length > SharedEnvelope.Size ? [.. stored] : new byte[SharedEnvelope.Size];
        SharedEnvelope.Write(value, version, value.Length > SharedEnvelope.Size ? SharedEnvelope.Expired : SharedEnvelope.Tombstone);
        _values[key] = value;
        return true;
    });

    public Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken) => RunAsync("versions", () =>
        names.Select((name, i) =>
        {
            if (!_versions.TryGetValue(name, out TagVersion version))
            {
                long start = Math.Max(++_clock, floors[i].Latest + 1);
                version = new TagVersion(start, start);
            }

            return _versions[name] = TagVersion.Max(version, floors[i]);
        }).ToArray());

    public Task<TagVersion> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor, CancellationToken cancellationToken) => RunAsync("raise", () =>
    {
        bool isThere = _versions.TryGetValue(name, out TagVersion version);
        long latest = isThere ? Math.Max(version.Latest, floor.Latest) + 1 : Math.Max(++_clock, floor.Latest + 1);
        return _versions[name] = new TagVersion(latest, isRemoval || !isThere ? latest : Math.Max(version.Removed, floor.Removed));
    });

    public Task<IAsyncDisposable> SubscribeAsync(string channel, Action<BackplaneMessage> onMessage, Action<bool> onConnection, CancellationToken cancellationToken) => RunAsync<IAsyncDisposable>("subscribe", () =>
    {
        var listener = (channel, onMessage, onConnection);
        _listeners.Add(listener);
        HasSubscribed++;
        return new Subscription(this, listener);
    });

    public async Task<long> PublishAsync(string channel, byte[] body, CancellationToken cancellationToken)
    {
        long number = await RunAsync("publish", () => ++_sequence);
        if (!DropsMessages)
        {
            foreach (var listener in AllListeners())
            {
                if (listener.Channel == channel)
                {
                    listener.OnMessage(new BackplaneMessage(number, body));
                }
            }
        }

        return number;
    }

    public Task<long> TryAcquireAsync(string key, string token, TimeSpan duration, CancellationToken cancellationToken) => RunAsync("acquire", () =>
    {
        if (_leases.ContainsKey(key))
        {
            return 0L;
        }

        long fence = _fences[key] = _fences.GetValueOrDefault(key) + 1;
        _leases[key] = (token, fence);
        return fence;
    });

    public Task<bool> TryRenewAsync(string key, string token, TimeSpan duration, CancellationToken cancellationToken) =>
        RunAsync("renew", () => _leases.TryGetValue(key, out var lease) && lease.Token == token);

    public Task ReleaseAsync(string key, string token, CancellationToken cancellationToken) => RunAsync("release", () =>
        _leases.TryGetValue(key, out var lease) && lease.Token == token && _leases.Remove(key));

    public void LoseLease(string key)
    {
        lock (_lock)
        {
            _leases.Remove(key);
        }
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{_values.Count} values");

    private (string Channel, Action<BackplaneMessage> OnMessage, Action<bool> OnConnection)[] AllListeners()
    {
        lock (_lock)
        {
            return [.. _listeners];
        }
    }

    private async Task<T> RunAsync<T>(string call, Func<T> act)
    {
        Calls.Enqueue(call);
        if (Before is { } before)
        {
            await before(call);
        }

        if (Fails)
        {
            throw new IOException("The shared tier is out.");
        }

        T result;
        lock (_lock)
        {
            result = act();
        }

        if (After is { } after)
        {
            await after(call);
        }

        return result;
    }

    private sealed class Subscription(FakeSharedTier owner, (string, Action<BackplaneMessage>, Action<bool>) listener) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            lock (owner._lock)
            {
                owner._listeners.Remove(listener);
            }

            return default;
        }
    }
}
