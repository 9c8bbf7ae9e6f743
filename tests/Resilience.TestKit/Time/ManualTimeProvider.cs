namespace Resilience.TestKit;

/// <summary>
/// A clock that stands still until a test moves it. <see cref="Advance"/> moves the monotonic and the wall clock together and fires
/// every timer that falls due on the way, in the order in which they are due, on the advancing thread; <see cref="SetUtcNow"/> moves
/// the wall clock alone, as an operator or NTP would, and fires nothing.
/// </summary>
/// <remarks>
/// <para>
/// Timers behave as the system's do: they capture the <see cref="ExecutionContext"/> in which they are made unless its flow is
/// suppressed, and then run in an empty one; disposing or changing a timer from inside a callback is safe; <c>DisposeAsync</c> ends
/// when a running callback has. One difference: a timer that is due at once waits for the next <see cref="Advance"/>, be it by
/// <see cref="TimeSpan.Zero"/>, so that nothing happens behind a test's back.
/// </para>
/// <para>All members are thread-safe; advances are run one after the other. A callback may advance the clock itself.</para>
/// </remarks>
public sealed class ManualTimeProvider : TimeProvider
{
    private static readonly DateTimeOffset DefaultStart = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly ExecutionContext EmptyContext = CaptureEmptyContext();

    private readonly Lock _advancing = new(); // held while a thread advances; guards nothing but the order of advances
    private readonly Lock _lock = new(); // guards _timers, _waiters, _sequence and every timer's schedule
    private readonly List<ManualTimer> _timers = [];
    private readonly List<(int AtLeast, TaskCompletionSource Reached)> _waiters = [];
    private long _sequence;
    private long _ticks; // the monotonic clock; written by the advancing thread alone
    private long _wallOffset; // wall clock minus monotonic clock, in ticks

    /// <summary>Makes a clock.</summary>
    /// <param name="start">What the wall clock shows; 2030-01-01T00:00:00Z by default.</param>
    public ManualTimeProvider(DateTimeOffset? start = null)
    {
        // A monotonic clock does not begin at zero in life either: code that takes zero for "never" should fail here.
        _ticks = TimeSpan.TicksPerDay;
        _wallOffset = (start ?? DefaultStart).UtcTicks - _ticks;
    }

    /// <summary>Ten million ticks a second, as <see cref="TimeSpan"/> has.</summary>
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>UTC, whatever the machine is set to.</summary>
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    /// <summary>How many timers are armed at this moment: made or changed with a due time, neither fired for good nor disposed.</summary>
    public int ArmedTimers
    {
        get
        {
            lock (_lock)
            {
                return _timers.Count;
            }
        }
    }

    /// <summary>How far away the earliest armed timer is, or <see langword="null"/> when none is armed; never negative.</summary>
    public TimeSpan? NextDue
    {
        get
        {
            lock (_lock)
            {
                ManualTimer? next = EarliestUnderLock(long.MaxValue);
                return next is null ? null : TimeSpan.FromTicks(Math.Max(0, next.Due - GetTimestamp()));
            }
        }
    }

    /// <inheritdoc/>
    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => new(GetTimestamp() + Interlocked.Read(ref _wallOffset), TimeSpan.Zero);

    /// <summary>Moves both clocks on and fires every timer that falls due, each at its own moment, on this thread.</summary>
    /// <param name="by">How far; zero fires what is due already.</param>
    /// <remarks>What a callback throws is thrown here; the clock then stands where that timer was due.</remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="by"/> is negative: a monotonic clock does not go back.</exception>
    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        lock (_advancing)
        {
            long target = checked(GetTimestamp() + by.Ticks);
            while (TakeDue(target) is { } timer)
            {
                timer.Fire();
            }

            // A callback may have advanced further than this call was asked to.
            Interlocked.Exchange(ref _ticks, Math.Max(target, GetTimestamp()));
        }
    }

    /// <summary>Sets the wall clock, forward or back; the monotonic clock stays and no timer fires.</summary>
    /// <param name="now">What the wall clock shows from now on.</param>
    public void SetUtcNow(DateTimeOffset now) => Interlocked.Exchange(ref _wallOffset, now.UtcTicks - GetTimestamp());

    /// <summary>
    /// Waits until that many timers are armed: how a test knows that the code under test has come to its wait before it advances.
    /// </summary>
    /// <param name="atLeast">How many; one by default.</param>
    /// <param name="timeout">How long to wait in real time; <see cref="Eventually.Patience"/> by default.</param>
    /// <exception cref="TimeoutException">They were not armed in time.</exception>
    public async Task WaitForTimersAsync(int atLeast = 1, TimeSpan? timeout = null)
    {
        Task reached;
        lock (_lock)
        {
            if (_timers.Count >= atLeast)
            {
                return;
            }

            var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((atLeast, source));
            reached = source.Task;
        }

        TimeSpan limit = timeout ?? Eventually.Patience;
        try
        {
            await reached.WaitAsync(limit);
        }
        catch (TimeoutException exception)
        {
            throw new TimeoutException($"Waited {limit.TotalSeconds:0.#} s for {atLeast} armed timers; there are {ArmedTimers}.", exception);
        }
    }

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    private static ExecutionContext CaptureEmptyContext()
    {
        ExecutionContext? empty = null;
        var thread = new Thread(() => empty = ExecutionContext.Capture());
        thread.UnsafeStart();
        thread.Join();
        return empty!;
    }

    private static long Later(long ticks, TimeSpan by) => by.Ticks > long.MaxValue - ticks ? long.MaxValue : ticks + by.Ticks;

    private static void ThrowIfNotATimerSpan(TimeSpan value, string name)
    {
        if (value < TimeSpan.Zero && value != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentOutOfRangeException(name, value, "A timer's times are zero, positive or infinite.");
        }
    }

    private ManualTimer? TakeDue(long target)
    {
        lock (_lock)
        {
            if (EarliestUnderLock(target) is not { } timer)
            {
                return null;
            }

            Interlocked.Exchange(ref _ticks, Math.Max(GetTimestamp(), timer.Due));
            timer.BeginFireUnderLock();
            return timer;
        }
    }

    private ManualTimer? EarliestUnderLock(long target)
    {
        ManualTimer? earliest = null;
        foreach (ManualTimer timer in _timers)
        {
            if (timer.Due <= target && (earliest is null || (timer.Due, timer.Sequence).CompareTo((earliest.Due, earliest.Sequence)) < 0))
            {
                earliest = timer;
            }
        }

        return earliest;
    }

    private void ArmUnderLock(ManualTimer timer, long due)
    {
        if (!timer.IsArmed)
        {
            _timers.Add(timer);
        }

        timer.ScheduleUnderLock(due, ++_sequence);
        for (int i = _waiters.Count - 1; i >= 0; i--)
        {
            if (_timers.Count >= _waiters[i].AtLeast)
            {
                _waiters[i].Reached.TrySetResult();
                _waiters.RemoveAt(i);
            }
        }
    }

    private void DisarmUnderLock(ManualTimer timer)
    {
        if (timer.IsArmed)
        {
            _timers.Remove(timer);
            timer.UnscheduleUnderLock();
        }
    }

    private sealed class ManualTimer(ManualTimeProvider owner, TimerCallback callback, object? state) : ITimer
    {
        private readonly ExecutionContext? _context = ExecutionContext.Capture();
        private TimeSpan _period = Timeout.InfiniteTimeSpan;
        private bool _disposed;
        private int _running;
        private TaskCompletionSource? _idle;

        public bool IsArmed { get; private set; }

        public long Due { get; private set; }

        public long Sequence { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            ThrowIfNotATimerSpan(dueTime, nameof(dueTime));
            ThrowIfNotATimerSpan(period, nameof(period));
            lock (owner._lock)
            {
                if (_disposed)
                {
                    return false;
                }

                // The system's timers take a period of zero for none.
                _period = period == TimeSpan.Zero ? Timeout.InfiniteTimeSpan : period;
                if (dueTime == Timeout.InfiniteTimeSpan)
                {
                    owner.DisarmUnderLock(this);
                }
                else
                {
                    owner.ArmUnderLock(this, Later(owner.GetTimestamp(), dueTime));
                }

                return true;
            }
        }

        public void ScheduleUnderLock(long due, long sequence) => (IsArmed, Due, Sequence) = (true, due, sequence);

        public void UnscheduleUnderLock() => IsArmed = false;

        public void BeginFireUnderLock()
        {
            _running++;
            if (_period == Timeout.InfiniteTimeSpan)
            {
                owner.DisarmUnderLock(this);
            }
            else
            {
                owner.ArmUnderLock(this, Later(Due, _period));
            }
        }

        public void Fire()
        {
            try
            {
                ExecutionContext.Run(_context ?? EmptyContext, static self => ((ManualTimer)self!).Call(), this);
            }
            finally
            {
                TaskCompletionSource? idle;
                lock (owner._lock)
                {
                    idle = --_running == 0 ? _idle : null;
                }

                idle?.TrySetResult();
            }
        }

        public void Dispose()
        {
            lock (owner._lock)
            {
                _disposed = true;
                owner.DisarmUnderLock(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            lock (owner._lock)
            {
                Dispose();
                if (_running == 0)
                {
                    return ValueTask.CompletedTask;
                }

                _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                return new ValueTask(_idle.Task);
            }
        }

        private void Call() => callback(state);
    }
}
