namespace Resilience.TestKit;

/// <summary>
/// One direction of a <see cref="ChaosProxy"/>, for all its connections. Every property can be changed while bytes flow and holds for
/// the bytes that have not been passed on yet. Thread-safe.
/// </summary>
public sealed class ChaosLink
{
    private readonly Lock _lock = new(); // guards _open, _cutAfter
    private readonly Action _cut;
    private TaskCompletionSource? _open; // completed when the stall ends; null while nothing is stalled
    private long _delayTicks;
    private int _bytesPerSecond;
    private long? _cutAfter;
    private long _passed;

    internal ChaosLink(Action cut) => _cut = cut;

    /// <summary>How much later every byte arrives; throughput stays. Zero by default.</summary>
    public TimeSpan Delay
    {
        get => TimeSpan.FromTicks(Interlocked.Read(ref _delayTicks));
        set => Interlocked.Exchange(ref _delayTicks, value.Ticks);
    }

    /// <summary>The most bytes a second on each connection, passed on a few at a time; zero, the default, for no limit.</summary>
    public int BytesPerSecond
    {
        get => Volatile.Read(ref _bytesPerSecond);
        set => Volatile.Write(ref _bytesPerSecond, value);
    }

    /// <summary>Whether bytes are held back; they flow again, none lost, once it is false.</summary>
    public bool Stalled
    {
        get
        {
            lock (_lock)
            {
                return _open is not null;
            }
        }

        set
        {
            TaskCompletionSource? release = null;
            lock (_lock)
            {
                if (value)
                {
                    _open ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                }
                else
                {
                    (release, _open) = (_open, null);
                }
            }

            release?.TrySetResult();
        }
    }

    /// <summary>The bytes passed on so far, over all connections.</summary>
    public long Passed => Interlocked.Read(ref _passed);

    /// <summary>Passes on that many more bytes, over all connections, and then cuts every connection in the middle of whatever it says.</summary>
    /// <param name="bytes">How many; <see langword="null"/> calls it off.</param>
    public void CutAfter(long? bytes)
    {
        lock (_lock)
        {
            _cutAfter = bytes;
        }
    }

    internal Task WhenOpen()
    {
        lock (_lock)
        {
            return _open?.Task ?? Task.CompletedTask;
        }
    }

    /// <summary>How many of the next bytes may be passed on before a cut is due.</summary>
    internal int Allow(int bytes)
    {
        lock (_lock)
        {
            if (_cutAfter is not { } left)
            {
                return bytes;
            }

            int allowed = (int)Math.Min(left, bytes);
            _cutAfter = left - allowed;
            return allowed;
        }
    }

    internal void OnPassed(int bytes)
    {
        Interlocked.Add(ref _passed, bytes);
        bool due;
        lock (_lock)
        {
            due = _cutAfter == 0;
            _cutAfter = due ? null : _cutAfter;
        }

        if (due)
        {
            _cut();
        }
    }
}
