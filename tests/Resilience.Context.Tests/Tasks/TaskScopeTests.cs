namespace Resilience.Context.Tests.Tasks;

public sealed class TaskScopeTests
{
    [Fact]
    public async Task Join_AllSucceed_ReturnsAndTasksHaveResults()
    {
        await using TaskScope group = TaskScope.Open();
        Task<int> first = group.Run(static async _ =>
        {
            await Task.Yield();
            return 1;
        });
        Task<int> second = group.Run(2, static (state, _) => Task.FromResult(state));
        await group.JoinAsync(TestContext.Current.CancellationToken);
        Assert.Equal(3, await first + await second);
        Assert.Throws<InvalidOperationException>(() => { _ = group.Run(static _ => Task.CompletedTask); });
    }

    [Fact]
    public async Task Join_AnotherThreadStartsATaskMeanwhile_WaitsForItToo()
    {
        for (int round = 0; round < 200; round++)
        {
            await using TaskScope group = TaskScope.Open();
            var first = new TaskCompletionSource<int>();
            var second = new TaskCompletionSource<int>();

            // Runs on the thread that ends the first task, right after the scope has taken note that nothing runs any more: the join has been
            // woken and is on its way.
            Task<Task<int>> late = group.Run(first, static (first, _) => first.Task).ContinueWith(
                _ => group.Run(second, static (second, _) => second.Task), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            Task join = group.JoinAsync(TestContext.Current.CancellationToken);
            first.SetResult(1);
            Task<int> started;
            try
            {
                started = await late;
            }
            catch (InvalidOperationException)
            {
                continue; // the join was quicker
            }

            for (int i = 0; i < 20; i++)
            {
                await Task.Yield(); // time in which a join that does not look again would return
            }

            Assert.False(join.IsCompleted);
            second.SetResult(2);
            await join;
            Assert.Equal(2, await started);
        }
    }

    [Fact]
    public async Task FailFast_FirstFailure_CancelsTheOthersAndIsThrown()
    {
        var running = new TaskCompletionSource();
        bool wasCancelled = false;
        await using TaskScope group = TaskScope.Open();
        _ = group.Run(async token =>
        {
            running.SetResult();
            try
            {
                await Task.Delay(Timeout.Infinite, token);
            }
            finally
            {
                wasCancelled = token.IsCancellationRequested;
            }
        });
        await running.Task;
        _ = group.Run(static _ => throw new FormatException("first"));
        var error = await Assert.ThrowsAsync<FormatException>(() => group.JoinAsync());
        Assert.Equal("first", error.Message);
        Assert.True(wasCancelled);
    }

    [Fact]
    public async Task CollectAll_Failures_AreAllThrownAndNobodyIsCancelled()
    {
        await using TaskScope group = TaskScope.Open(TaskScopeMode.CollectAll);
        Task<bool> healthy = group.Run(static async token =>
        {
            await Task.Yield();
            return token.IsCancellationRequested;
        });
        _ = group.Run(static _ => throw new FormatException());
        _ = group.Run(static _ => throw new OverflowException());
        AggregateException error = await Assert.ThrowsAsync<AggregateException>(() => group.JoinAsync());
        Assert.Equal(2, error.InnerExceptions.Count);
        Assert.False(await healthy);
    }

    [Fact]
    public async Task FirstSuccess_OneSucceeds_CancelsTheOthers()
    {
        await using TaskScope group = TaskScope.Open(TaskScopeMode.FirstSuccess);
        _ = group.Run(static _ => throw new FormatException());
        _ = group.Run(static async token => await Task.Delay(Timeout.Infinite, token));
        Task<int> winner = group.Run(static _ => Task.FromResult(7));
        await group.JoinAsync(TestContext.Current.CancellationToken);
        Assert.Same(winner, group.Winner);
    }

    [Fact]
    public async Task FirstSuccess_NoneSucceeds_ThrowsAll()
    {
        await using TaskScope group = TaskScope.Open(TaskScopeMode.FirstSuccess);
        _ = group.Run(static _ => throw new FormatException());
        _ = group.Run(static _ => throw new OverflowException());
        AggregateException error = await Assert.ThrowsAsync<AggregateException>(() => group.JoinAsync());
        Assert.Equal(2, error.InnerExceptions.Count);
    }

    [Fact]
    public async Task Dispose_WithoutJoin_CancelsJoinsAndReportsFailures()
    {
        using var logs = new LogCollector();
        using var monitor = new ScopeMonitor(loggerFactory: logs.CreateFactory());
        Task slow;
        await using (TaskScope group = TaskScope.Open(TaskScopeMode.CollectAll, new TaskScopeOptions { Monitor = monitor }))
        {
            slow = group.Run(static async token => await Task.Delay(Timeout.Infinite, token));
            Task failed = group.Run(static _ => throw new FormatException());
            await Assert.ThrowsAsync<FormatException>(() => failed);
        }

        Assert.True(slow.IsCompleted);
        Assert.Single(logs.WithId(1011));
        Assert.Equal(1, monitor.Failures);
    }

    [Fact]
    public async Task Dispose_TaskIgnoresItsToken_IsReportedAsStraggler()
    {
        using var logs = new LogCollector();
        using var monitor = new ScopeMonitor(loggerFactory: logs.CreateFactory());
        var clock = new ManualTimeProvider();
        var release = new TaskCompletionSource();
        TaskScope group = TaskScope.Open(options: new TaskScopeOptions { Monitor = monitor, TimeProvider = clock, JoinTimeout = TimeSpan.FromSeconds(5) });
        Task straggler = group.Run(_ => release.Task);
        Task dispose = group.DisposeAsync().AsTask();
        await clock.WaitForTimersAsync(1);
        Assert.False(dispose.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(5));
        await dispose;
        Assert.Equal(1, group.Stragglers);
        Assert.Single(logs.WithId(1010));
        Assert.Throws<InvalidOperationException>(() => { _ = group.Run(static _ => Task.CompletedTask); });
        release.SetResult();
        await straggler;
    }

    [Fact]
    public async Task Dispose_StragglerFailsLater_IsReportedAllTheSame()
    {
        using var logs = new LogCollector();
        using var monitor = new ScopeMonitor(loggerFactory: logs.CreateFactory());
        var release = new TaskCompletionSource();
        TaskScope group = TaskScope.Open(options: new TaskScopeOptions { Monitor = monitor, JoinTimeout = TimeSpan.Zero });
        _ = group.Run(_ => release.Task);
        await group.DisposeAsync();
        Assert.Equal(1, group.Stragglers);
        Assert.Empty(logs.WithId(1011));
        release.SetException(new FormatException("late"));
        await logs.WaitForAsync(static entry => entry.Id.Id == 1011);
        Assert.Equal(1, monitor.Failures);
    }

    [Fact]
    public void Open_NegativeJoinTimeout_IsRefused() =>
        Assert.Contains("JoinTimeout", Assert.Throws<ArgumentOutOfRangeException>(() => TaskScope.Open(options: new TaskScopeOptions { JoinTimeout = TimeSpan.FromSeconds(-2) })).Message, StringComparison.Ordinal);

    [Fact]
    public async Task Run_InRequestScope_SeesItAndIsCancelledWithIt()
    {
        RequestScope scope = RequestScope.Begin();
        await using TaskScope group = TaskScope.Open();
        var running = new TaskCompletionSource<RequestScope?>();
        Task task = group.Run(async token =>
        {
            running.SetResult(RequestScope.Current);
            await Task.Delay(Timeout.Infinite, token);
        });
        Assert.Same(scope, await running.Task);
        scope.Dispose();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => group.JoinAsync());
    }

    [Fact]
    public async Task Run_ByATaskOfTheGroup_IsJoinedToo()
    {
        int done = 0;
        await using TaskScope group = TaskScope.Open();
        _ = group.Run(async _ =>
        {
            await Task.Yield();
            Task inner = group.Run(async _ =>
            {
                await Task.Yield();
                Interlocked.Increment(ref done);
            });
            Interlocked.Increment(ref done);
        });
        await group.JoinAsync(TestContext.Current.CancellationToken);
        Assert.Equal(2, done);
    }

    [Fact]
    public async Task Stress_AnyModeAnyFailures_NothingRunsAfterDispose()
    {
        await new StressRunner { Workers = 3, Duration = TimeSpan.FromSeconds(1) }.RunAsync(static async worker =>
        {
            int running = 0;
            var mode = (TaskScopeMode)worker.Random.Next(3);
            bool joins = worker.Random.Next(2) == 0;
            await using (TaskScope group = TaskScope.Open(mode))
            {
                for (int task = worker.Random.Next(6); task >= 0; task--)
                {
                    int kind = worker.Random.Next(3);
                    _ = group.Run(async token =>
                    {
                        Interlocked.Increment(ref running);
                        try
                        {
                            await Task.Yield();
                            if (kind == 0)
                            {
                                throw new FormatException();
                            }

                            if (kind == 1 && mode != TaskScopeMode.CollectAll)
                            {
                                await Task.Delay(1, token);
                            }
                        }
                        finally
                        {
                            Interlocked.Decrement(ref running);
                        }
                    });
                }

                if (joins)
                {
                    await ((Task)group.JoinAsync()).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }

            Assert.Equal(0, running);
        });
    }
}
