namespace Resilience.Context.Tests.Scopes;

/// <summary>What the end of a scope does, in which order, and to whom.</summary>
public sealed class RequestScopeEndTests
{
    [Fact]
    public void End_TokenThatStrangersKeep_HoldsNeitherTheHostsTokenNorTheParents() => LeakAssert.Collected(probe =>
    {
        // Not by name: a registration that was taken back still refers to the source that it was made at.
        using var host = new CancellationTokenSource();
        probe.Track(host, "source of the host's token");
        RequestScope parent = RequestScope.Begin(new ScopeOptions { Aborted = host.Token });
        parent.Token.UnsafeRegister(static _ => { }, probe.Track(new object(), "what hangs on the parent's token"));
        RequestScope child = parent.BeginChild(new ScopeOptions { Aborted = host.Token });
        probe.Keep<object>(child.Token);
        child.Dispose();
        RequestScope.Exchange(null);
    });

    [Fact]
    public void Dispose_LiveChildren_AreEndedAndCounted()
    {
        using var logs = new LogCollector();
        using var monitor = new ScopeMonitor(loggerFactory: logs.CreateFactory());
        RequestScope parent = RequestScope.Begin(new ScopeOptions { Monitor = monitor });
        RequestScope first = parent.BeginChild();
        RequestScope second = parent.BeginChild();
        RequestScope grandchild = second.BeginChild();
        first.Dispose();
        parent.Dispose();
        Assert.Equal(ScopeCause.Ended, first.Cause);
        Assert.Equal(ScopeCause.Parent, second.Cause);
        Assert.Equal(ScopeCause.Parent, grandchild.Cause);
        Assert.Equal(2, logs.WithId(1003).Count);
    }

    [Fact]
    public void Dispose_OwnedThings_LastFirst_EachGuarded_AfterTheTokenIsCancelled()
    {
        using var logs = new LogCollector();
        using var monitor = new ScopeMonitor(loggerFactory: logs.CreateFactory());
        var order = new List<string>();
        RequestScope scope = RequestScope.Begin(new ScopeOptions { Monitor = monitor });
        scope.Token.UnsafeRegister(_ => order.Add("cancel"), null);
        scope.Own(new Callback(() => order.Add("first")));
        scope.Own(new Callback(() => throw new InvalidOperationException("broken")));
        scope.Own(new Callback(() => order.Add($"third, current {RequestScope.Current is null}, ended {scope.IsEnded}")));
        scope.Dispose();
        Assert.Equal(["cancel", "third, current True, ended True", "first"], order);
        Assert.Equal(1, monitor.Failures);
        Assert.Single(logs.WithId(1004));
    }

    [Fact]
    public void Dispose_CallbackOfTokenThrows_TheRestStillHappens()
    {
        using var logs = new LogCollector();
        using var monitor = new ScopeMonitor(loggerFactory: logs.CreateFactory());
        bool isDisposed = false;
        RequestScope scope = RequestScope.Begin(new ScopeOptions { Monitor = monitor });
        scope.Token.UnsafeRegister(static _ => throw new InvalidOperationException("broken"), null);
        scope.Own(new Callback(() => isDisposed = true));
        scope.Dispose();
        Assert.True(isDisposed);
        Assert.Null(RequestScope.Current);
        Assert.Single(logs.WithId(1005));
    }

    [Fact]
    public void Dispose_SixtyFourAtOnce_EndsOnce()
    {
        for (int round = 0; round < 20; round++)
        {
            int cancelled = 0;
            int disposed = 0;
            RequestScope scope = RequestScope.Begin();
            scope.Token.UnsafeRegister(_ => Interlocked.Increment(ref cancelled), null);
            scope.Own(new Callback(() => Interlocked.Increment(ref disposed)));
            using var start = new Barrier(64);
            Thread[] threads = [.. Enumerable.Range(0, 64).Select(_ => new Thread(() =>
            {
                start.SignalAndWait();
                scope.Dispose();
            }, 128 * 1024))];
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());
            Assert.Equal(1, cancelled);
            Assert.Equal(1, disposed);
            Assert.Null(RequestScope.Current);
        }
    }

    private sealed class Callback(Action action) : IDisposable
    {
        public void Dispose() => action();
    }
}
