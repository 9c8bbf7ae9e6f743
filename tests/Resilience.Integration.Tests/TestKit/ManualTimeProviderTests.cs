using Resilience.TestKit;

namespace Resilience.Integration.Tests.TestKit;

public sealed class ManualTimeProviderTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public void Advance_Always_MovesBothClocks()
    {
        long timestamp = _time.GetTimestamp();
        DateTimeOffset now = _time.GetUtcNow();

        _time.Advance(TimeSpan.FromSeconds(90));

        Assert.Equal(TimeSpan.FromSeconds(90), _time.GetElapsedTime(timestamp));
        Assert.Equal(now.AddSeconds(90), _time.GetUtcNow());
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public void SetUtcNow_Jump_LeavesMonotonicClockAndTimersAlone(int hours)
    {
        bool fired = false;
        using ITimer timer = _time.CreateTimer(_ => fired = true, null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        long timestamp = _time.GetTimestamp();
        DateTimeOffset target = _time.GetUtcNow().AddHours(hours);

        _time.SetUtcNow(target);

        Assert.Equal(target, _time.GetUtcNow());
        Assert.Equal(timestamp, _time.GetTimestamp());
        Assert.False(fired);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(fired);
        Assert.Equal(target.AddSeconds(1), _time.GetUtcNow());
    }

    [Fact]
    public void Advance_SeveralTimersDue_FiresEachInDueOrderAtItsOwnMoment()
    {
        var fired = new List<(string Name, double At)>();
        long start = _time.GetTimestamp();
        void Arm(string name, double due, double period = -0.001) =>
            _time.CreateTimer(_ => fired.Add((name, _time.GetElapsedTime(start).TotalSeconds)), null, TimeSpan.FromSeconds(due), TimeSpan.FromSeconds(period));
        Arm("late", 3);
        Arm("periodic", 1, 1);
        Arm("early", 0.5);
        Arm("tie", 1);

        _time.Advance(TimeSpan.FromSeconds(3.5));

        Assert.Equal([("early", 0.5), ("periodic", 1), ("tie", 1), ("periodic", 2), ("late", 3), ("periodic", 3)], fired);
        Assert.Equal(1, _time.ArmedTimers);
        Assert.Equal(TimeSpan.FromSeconds(0.5), _time.NextDue);
    }

    [Fact]
    public void Advance_Callback_RunsOnTheAdvancingThread()
    {
        int thread = 0;
        using ITimer timer = _time.CreateTimer(_ => thread = Environment.CurrentManagedThreadId, null, TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        Assert.Equal(0, thread);

        _time.Advance(TimeSpan.Zero);

        Assert.Equal(Environment.CurrentManagedThreadId, thread);
    }

    [Fact]
    public void Advance_CallbackDisposesChangesAndAdvances_StaysConsistent()
    {
        int first = 0, second = 0, victim = 0;
        ITimer? own = null, other = null;
        other = _time.CreateTimer(_ => victim++, null, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(1));
        own = _time.CreateTimer(
            _ =>
            {
                if (++first == 1)
                {
                    other.Dispose();
                    own!.Change(TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);
                    _time.Advance(TimeSpan.FromSeconds(9));
                }
            },
            null,
            TimeSpan.FromSeconds(1),
            TimeSpan.FromSeconds(1));
        long start = _time.GetTimestamp();
        using ITimer later = _time.CreateTimer(_ => second++, null, TimeSpan.FromSeconds(4), Timeout.InfiniteTimeSpan);

        _time.Advance(TimeSpan.FromSeconds(3));

        Assert.Equal((2, 1, 0), (first, second, victim));
        Assert.Equal(TimeSpan.FromSeconds(10), _time.GetElapsedTime(start));
        Assert.False(other.Change(TimeSpan.Zero, TimeSpan.Zero));
    }

    [Fact]
    public void Advance_Negative_Throws() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => _time.Advance(TimeSpan.FromTicks(-1)));

    [Fact]
    public void CreateTimer_Context_IsCapturedUnlessSuppressed()
    {
        var ambient = new AsyncLocal<string?> { Value = "captured" };
        var seen = new List<string?>();
        _time.CreateTimer(_ => seen.Add(ambient.Value), null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        using (ExecutionContext.SuppressFlow())
        {
            _time.CreateTimer(_ => seen.Add(ambient.Value), null, TimeSpan.FromSeconds(2), Timeout.InfiniteTimeSpan);
        }

        ambient.Value = "advancing";
        _time.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal(["captured", null], seen);
        Assert.Equal("advancing", ambient.Value);
    }

    [Fact]
    public async Task DisposeAsync_CallbackRunning_EndsWithIt()
    {
        using var entered = new SemaphoreSlim(0);
        using var release = new SemaphoreSlim(0);
        ITimer timer = _time.CreateTimer(
            _ =>
            {
                entered.Release();
                release.Wait();
            },
            null,
            TimeSpan.Zero,
            Timeout.InfiniteTimeSpan);
        Task advancing = Task.Run(() => _time.Advance(TimeSpan.Zero), TestContext.Current.CancellationToken);
        await entered.WaitAsync(TestContext.Current.CancellationToken);

        Task disposing = timer.DisposeAsync().AsTask();

        Assert.False(disposing.IsCompleted);
        release.Release();
        await disposing;
        await advancing;
    }

    [Fact]
    public async Task WaitForTimers_CodeArmsLater_LetsTheTestAdvanceInTime()
    {
        Task work = Task.Run(async () =>
        {
            await Task.Yield();
            await Task.Delay(TimeSpan.FromMinutes(5), _time);
        });

        await _time.WaitForTimersAsync();
        _time.Advance(TimeSpan.FromMinutes(5));

        await work.WaitAsync(Eventually.Patience, TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<TimeoutException>(() => _time.WaitForTimersAsync(1, TimeSpan.FromMilliseconds(1)));
    }

    [Fact]
    public void PlatformTimers_Always_RunOnThisClock()
    {
        using var cancelled = new CancellationTokenSource(TimeSpan.FromSeconds(10), _time);
        using var periodic = new PeriodicTimer(TimeSpan.FromSeconds(4), _time);
        ValueTask<bool> tick = periodic.WaitForNextTickAsync();

        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.True(tick.IsCompletedSuccessfully);
        Assert.False(cancelled.IsCancellationRequested);
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.True(cancelled.IsCancellationRequested);
    }

    [Fact]
    public void Stress_TimersFromManyThreads_FireOnceEachOrNotAtAll()
    {
        int armed = 0, fired = 0, disposed = 0;
        new StressRunner { Duration = TimeSpan.FromMilliseconds(300) }.Run(
            worker =>
            {
                if (worker.Index == 0)
                {
                    _time.Advance(TimeSpan.FromTicks(worker.Random.Next(100)));
                    return;
                }

                int calls = 0;
                Interlocked.Increment(ref armed);
                ITimer timer = _time.CreateTimer(
                    _ =>
                    {
                        Assert.Equal(1, Interlocked.Increment(ref calls));
                        Interlocked.Increment(ref fired);
                    },
                    null,
                    TimeSpan.FromTicks(worker.Random.Next(50)),
                    Timeout.InfiniteTimeSpan);
                if (worker.Random.Next(4) == 0)
                {
                    timer.DisposeAsync().AsTask().Wait();
                    Interlocked.Add(ref disposed, 1 - Volatile.Read(ref calls));
                }
                else if (_time.ArmedTimers > 50)
                {
                    _time.Advance(TimeSpan.FromTicks(50));
                }
            },
            () =>
            {
                _time.Advance(TimeSpan.FromTicks(100));
                Assert.Equal(0, _time.ArmedTimers);
                Assert.Equal(armed, fired + disposed);
            });
    }
}
