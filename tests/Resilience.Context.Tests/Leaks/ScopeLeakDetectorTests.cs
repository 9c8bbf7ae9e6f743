using System.Runtime.CompilerServices;
using Resilience.Context.Tests.Scopes;

namespace Resilience.Context.Tests.Leaks;

public sealed class ScopeLeakDetectorTests : IDisposable
{
    private static readonly ScopeKey<Payload> Key = new("payload");
    private static readonly ScopeKey<string> Secret = new("secret", ScopeFlow.Sensitive);
    private readonly ManualTimeProvider _clock = new();
    private readonly LogCollector _logs = new();
    private readonly ScopeMonitor _monitor;
    private readonly List<ScopeLeak> _leaks = [];

    public ScopeLeakDetectorTests()
    {
        _monitor = new ScopeMonitor(new LeakSettings { After = TimeSpan.FromMinutes(1), HardExpiry = TimeSpan.FromMinutes(10), StackSampling = 0 }, _logs.CreateFactory(), timeProvider: _clock);
        _monitor.Leaks!.OnLeak(_leaks.Add);
    }

    public void Dispose()
    {
        _monitor.Dispose();
        _logs.Dispose();
    }

    [Fact]
    public void Overdue_IsReportedOnceWithItsPlace()
    {
        using RequestScope scope = Begin();
        _clock.Advance(TimeSpan.FromSeconds(59));
        Assert.Empty(_leaks);
        _clock.Advance(TimeSpan.FromMinutes(3));
        ScopeLeak leak = Assert.Single(_leaks);
        Assert.Equal((ScopeLeakKind.Overdue, scope.Id), (leak.Kind, leak.Id));
        Assert.EndsWith("ScopeLeakDetectorTests.cs", leak.File, StringComparison.Ordinal);
        Assert.True(leak.Line > 0);
        Assert.Null(leak.Stack);
        Assert.False(scope.IsEnded);
        Assert.Single(_logs.WithId(1000));
        Assert.Equal(scope.Id, Assert.Single(_monitor.Leaks!.Oldest(5)).Id);
    }

    [Fact]
    public void Overdue_EndsLater_IsSaidToHaveBeenLate()
    {
        using (RequestScope late = Begin())
        {
            _clock.Advance(TimeSpan.FromMinutes(3));
            Assert.Single(_logs.WithId(1000));
        }

        Assert.Contains("180", Assert.Single(_logs.WithId(1007)).Message, StringComparison.Ordinal);
        Begin().Dispose();
        RequestScope never = Begin();
        _clock.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(ScopeCause.Expired, never.Cause);
        Assert.Single(_logs.WithId(1007));
    }

    [Fact]
    public void Overdue_SecondReportOfAPlace_HasAStack()
    {
        for (int round = 0; round < 2; round++)
        {
            using RequestScope scope = Begin();
            _clock.Advance(TimeSpan.FromMinutes(2));
        }

        Assert.Equal(2, _leaks.Count);
        Assert.Null(_leaks[0].Stack);
        Assert.Contains(nameof(Overdue_SecondReportOfAPlace_HasAStack), _leaks[1].Stack, StringComparison.Ordinal);
    }

    [Fact]
    public void WithinItsDeadline_OrLongLived_IsNeverTouched()
    {
        using RequestScope socket = Begin(new ScopeOptions { Monitor = _monitor, TimeProvider = _clock, LongLived = true });
        using RequestScope patient = Begin(new ScopeOptions { Monitor = _monitor, TimeProvider = _clock, Timeout = TimeSpan.FromHours(1) });
        _clock.Advance(TimeSpan.FromMinutes(59));
        Assert.Empty(_leaks);
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal((ScopeLeakKind.Overdue, patient.Id), (Assert.Single(_leaks).Kind, _leaks[0].Id));
        Assert.False(patient.IsEnded);
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.True(patient.IsEnded);
        Assert.False(socket.IsEnded);
    }

    [Fact]
    public void HardExpiry_EndsByForce()
    {
        RequestScope scope = Begin();
        bool isCancelled = false;
        scope.Token.UnsafeRegister(_ => isCancelled = true, null);
        scope.Set(Secret, "hunter2");
        _clock.Advance(TimeSpan.FromMinutes(10));
        Assert.True(scope.IsEnded);
        Assert.True(isCancelled);
        Assert.Equal(ScopeCause.Expired, scope.Cause);
        Assert.Equal([ScopeLeakKind.Overdue, ScopeLeakKind.Expired], _leaks.Select(leak => leak.Kind));
        Assert.Equal(0, _monitor.Leaks!.Live);
        Assert.Single(_logs.WithId(1001));
        Assert.DoesNotContain(_logs.Entries, entry => entry.Message.Contains("hunter2", StringComparison.Ordinal));
    }

    [Fact]
    public void HardExpiry_UndisposedScopeHeldByAStrayTimer_PayloadIsCollected() => LeakAssert.Collected(probe =>
    {
        RequestScope scope = Begin();
        scope.Set(Key, probe.Track(new Payload()));
        probe.Keep(new Timer(static _ => { }, null, Timeout.Infinite, Timeout.Infinite));
        _clock.Advance(TimeSpan.FromMinutes(11));
    });

    [Fact]
    public void WithoutHardExpiry_UndisposedScopeHeldByAStrayTimer_StaysAlive() => LeakAssert.StillAlive(probe =>
    {
        RequestScope scope = Begin();
        scope.Set(Key, probe.Track(new Payload()));
        probe.Keep(new Timer(static _ => { }, null, Timeout.Infinite, Timeout.Infinite));
        _clock.Advance(TimeSpan.FromMinutes(9));
    });

    [Fact]
    public void Dropped_IsReportedAsCollected()
    {
        WeakReference dropped = DropOnAnotherThread();
        for (int attempt = 0; attempt < 30 && dropped.IsAlive; attempt++)
        {
            LeakAssert.Collect();
            Thread.Sleep(10 * attempt); // a thread that has ended is gone a moment later, on a busy machine seconds later
        }

        // Before it would be overdue.
        for (int attempt = 0; attempt < 10 && _leaks.Count == 0; attempt++)
        {
            LeakAssert.Collect();
            _clock.Advance(TimeSpan.FromSeconds(5));
        }

        Assert.Equal(ScopeLeakKind.Collected, Assert.Single(_leaks).Kind);
        Assert.Equal(0, _monitor.Leaks!.Live);
        Assert.Single(_logs.WithId(1002));
    }

    [Fact]
    public void Listener_Throws_OthersAreCalledLater()
    {
        using IDisposable subscription = _monitor.Leaks!.OnLeak(static _ => throw new FormatException());
        using RequestScope scope = Begin();
        _clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Single(_logs.WithId(1006));
        Assert.Single(_leaks);
    }

    [Fact]
    public void Stress_BeginEndSweep_RegistryEndsEmpty()
    {
        var options = new ScopeOptions { Monitor = _monitor, TimeProvider = _clock };
        new StressRunner { Duration = TimeSpan.FromSeconds(1) }.Run(worker =>
        {
            if (worker.Index == 0)
            {
                _clock.Advance(TimeSpan.FromMinutes(worker.Random.Next(12)));
                return;
            }

            using RequestScope scope = RequestScope.Begin(options);
            using RequestScope child = RequestScope.Begin(options);
            if (worker.Random.Next(8) == 0)
            {
                scope.Dispose();
            }
        }, () => Assert.Equal(0, _monitor.Leaks!.Live));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private WeakReference DropOnAnotherThread()
    {
        // A thread that has ended still refers to its last execution context, so the thread must be gone, too.
        WeakReference? dropped = null;
        var thread = new Thread(() => dropped = new WeakReference(Begin()));
        thread.UnsafeStart();
        thread.Join();
        return dropped!;
    }

    private RequestScope Begin() => RequestScope.Begin(new ScopeOptions { Monitor = _monitor, TimeProvider = _clock });

    private static RequestScope Begin(ScopeOptions options) => RequestScope.Begin(options);
}
