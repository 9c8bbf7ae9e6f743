using System.Diagnostics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Settings;

namespace Resilience.Context.Tests.Background;

public sealed class BackgroundWorkQueueTests : IAsyncDisposable
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Detach);
    private static readonly AsyncLocal<string?> Foreign = new();
    private readonly ManualTimeProvider _clock = new();
    private readonly LogCollector _logs = new();
    private readonly ScopeMonitor _monitor;
    private readonly ServiceProvider _services = new ServiceCollection().AddScoped<Tracked>().BuildServiceProvider();
    private readonly List<AbandonedWork> _abandoned = [];
    private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public BackgroundWorkQueueTests()
    {
        _monitor = new ScopeMonitor(loggerFactory: _logs.CreateFactory(), timeProvider: _clock);
    }

    public async ValueTask DisposeAsync()
    {
        _monitor.Dispose();
        _logs.Dispose();
        await _services.DisposeAsync();
    }

    [Fact]
    public async Task Work_RunsWithTheSnapshotInAScopeOfItsOwn()
    {
        using BackgroundWorkQueue queue = Queue();
        await queue.StartAsync(default);
        var seen = new TaskCompletionSource<(string?, string, Priority, bool, Tracked)>();
        RequestScope request = RequestScope.Begin(new ScopeOptions { Id = "r-9", Priority = Priority.Low, TimeProvider = _clock });
        request.Set(Tenant, "acme");
        await queue.EnqueueAsync(request.Detach(TimeSpan.FromSeconds(30)), seen, static (services, seen, token) =>
        {
            RequestScope scope = RequestScope.Current!;
            seen.SetResult((scope.Get(Tenant), scope.Id, scope.Priority, token == scope.Token, services.GetRequiredService<Tracked>()));
            return ValueTask.CompletedTask;
        });
        request.Dispose();
        (string? tenant, string id, Priority priority, bool isToken, Tracked service) = await seen.Task;
        await queue.StopAsync(default);
        Assert.Equal(("acme", "r-9", Priority.Low, true), (tenant, id, priority, isToken));
        Assert.True(service.IsDisposed);
        Assert.Equal((1, 1, 0), (queue.Accepted, queue.Run, queue.Abandoned));
    }

    [Fact]
    public async Task Work_StartsInACleanFlow_AndLeavesItClean()
    {
        using var activity = new Activity("starting");
        activity.Start();
        Foreign.Value = "foreign";
        using RequestScope scope = RequestScope.Begin();
        ILogger logger = _logs.CreateLogger("test");
        using IDisposable? logScope = logger.BeginScope("foreign scope");
        using BackgroundWorkQueue queue = Queue(settings => settings.Workers = 1);
        await queue.StartAsync(default);
        var seen = new TaskCompletionSource<string>();
        var seenNext = new TaskCompletionSource<string>();
        foreach (TaskCompletionSource<string> result in (TaskCompletionSource<string>[])[seen, seenNext])
        {
            await queue.EnqueueAsync(scope.Detach(TimeSpan.FromSeconds(30)), (result, logger), static (_, state, _) =>
            {
                state.logger.Log(LogLevel.Information, new EventId(7), "from the work");
                state.logger.BeginScope("left behind");
                state.result.SetResult($"{Activity.Current?.OperationName} {Foreign.Value} {RequestScope.Current!.IsEnded}");
                Foreign.Value = "left behind";
                new Activity("left behind").Start();
                return ValueTask.CompletedTask;
            });
        }

        Assert.Equal("  False", await seen.Task);
        Assert.Equal("  False", await seenNext.Task);
        await queue.StopAsync(default);
        Assert.All(_logs.WithId(7), static entry => Assert.Empty(entry.Scopes));
        Assert.Equal(2, _logs.WithId(7).Count);

        // The control: here the scope is there to be seen.
        logger.Log(LogLevel.Information, new EventId(8), "from the test");
        Assert.Equal("foreign scope", Assert.Single(Assert.Single(_logs.WithId(8)).Scopes));
    }

    [Fact]
    public async Task Work_TraceListenerFails_TheWorkerGoesOnAndNothingIsLost()
    {
        ActivityTraceId broken = default;
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == "Resilience.Context",
            Sample = (ref ActivityCreationOptions<ActivityContext> options) =>
                options.Links?.Any(link => link.Context.TraceId == broken) == true ? throw new FormatException("broken listener") : ActivitySamplingResult.None,
        };
        ActivitySource.AddActivityListener(listener);
        using BackgroundWorkQueue queue = Queue(settings => settings.Workers = 1);
        using (var request = new Activity("request"))
        {
            request.Start();
            broken = request.TraceId;
            await EnqueueAsync(queue, 1);
        }

        await EnqueueAsync(queue, 2);
        await queue.StartAsync(default);
        await queue.StopAsync(default);
        Assert.Equal((2, 2, 0), (queue.Accepted, queue.Run, queue.Abandoned));
        Assert.IsType<FormatException>(Assert.Single(_logs.WithId(1020)).Exception);
    }

    [Fact]
    public async Task Account_AtEveryMoment_AcceptedIsNeverLessThanRunAndAbandoned()
    {
        using BackgroundWorkQueue queue = Queue(settings => (settings.Capacity, settings.Workers) = (16, 2), TimeProvider.System);
        await queue.StartAsync(default);
        new StressRunner { Workers = 3, Duration = TimeSpan.FromSeconds(1) }.Run(worker =>
        {
            if (worker.Index == 0)
            {
                long ended = queue.Run + queue.Abandoned;
                long accepted = queue.Accepted;
                Assert.True(accepted >= ended, $"{accepted} accepted, {ended} ended");
                return;
            }

            queue.TryEnqueue(ScopeSnapshot.Create(TimeSpan.FromMinutes(1)), 0, static (_, _, _) => ValueTask.CompletedTask);
        });
        await queue.StopAsync(default);
        Assert.Equal(queue.Accepted, queue.Run + queue.Abandoned);
    }

    [Fact]
    public async Task Stop_WithNoTimeAtAll_EveryItemIsRunOrAbandonedWhenItReturns()
    {
        for (int round = 0; round < 50; round++)
        {
            using BackgroundWorkQueue queue = Queue(settings => (settings.Capacity, settings.Workers, settings.DrainTimeout, settings.Grace) = (1000, 4, TimeSpan.Zero, TimeSpan.Zero), TimeProvider.System);
            for (int item = 0; item < 200; item++)
            {
                Assert.True(queue.TryEnqueue(ScopeSnapshot.Create(TimeSpan.FromMinutes(1)), 0, static async (_, _, _) => await Task.Yield()));
            }

            await queue.StartAsync(default);
            await queue.StopAsync(default);
            Assert.Equal((200, 200), (queue.Accepted, queue.Run + queue.Abandoned));
        }
    }

    [Fact]
    public async Task Work_Traced_IsLinkedToTheRequestsTraceAndNotItsChild()
    {
        var started = new TaskCompletionSource<Activity>();
        ActivityTraceId trace = default;
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == "Resilience.Context",
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                if (activity.Links.Any(link => link.Context.TraceId == trace))
                {
                    started.TrySetResult(activity);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        using var request = new Activity("request");
        request.Start();
        trace = request.TraceId;
        using BackgroundWorkQueue queue = Queue();
        await queue.StartAsync(default);
        await queue.EnqueueAsync(ScopeSnapshot.Create(TimeSpan.FromSeconds(5), timeProvider: _clock), 0, static (_, _, _) => ValueTask.CompletedTask);
        Activity work = await started.Task;
        Assert.NotEqual(trace, work.TraceId);
        Assert.Null(work.Parent);
        await queue.StopAsync(default);
    }

    [Fact]
    public async Task Enqueue_Full_Rejects()
    {
        using BackgroundWorkQueue queue = Queue(settings => settings.Capacity = 2);
        await EnqueueAsync(queue);
        Assert.True(queue.TryEnqueue(Snapshot(), 0, static (_, _, _) => ValueTask.CompletedTask));
        var error = await Assert.ThrowsAsync<WorkRefusedException>(() => EnqueueAsync(queue));
        Assert.Equal((2, 2, false), (error.Waiting, error.Capacity, error.IsStopped));
        Assert.False(queue.TryEnqueue(Snapshot(), 0, static (_, _, _) => ValueTask.CompletedTask));
        Assert.Single(_logs.WithId(1025));
        await queue.StartAsync(default);
        await queue.StopAsync(default);
        Assert.Equal((2, 2, 0), (queue.Accepted, queue.Run, queue.Abandoned));
    }

    [Fact]
    public async Task Enqueue_FullAndWaiting_WaitsForRoom()
    {
        using BackgroundWorkQueue queue = Queue(settings => (settings.Capacity, settings.WhenFull) = (1, QueueFullMode.Wait));
        await EnqueueAsync(queue);
        Task waiting = EnqueueAsync(queue);
        Assert.False(waiting.IsCompleted);
        await queue.StartAsync(default);
        await waiting;
        await queue.StopAsync(default);
        Assert.Equal(2, queue.Run);
    }

    [Fact]
    public async Task Enqueue_FullAndWaiting_WaitsNoLongerThanTheRequestsDeadline()
    {
        using BackgroundWorkQueue queue = Queue(settings => (settings.Capacity, settings.WhenFull) = (1, QueueFullMode.Wait));
        await EnqueueAsync(queue);
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        Task waiting = EnqueueAsync(queue);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<DeadlineExceededException>(() => waiting);
    }

    [Fact]
    public async Task Enqueue_FullAndDropping_HandsTheOldestBack()
    {
        using BackgroundWorkQueue queue = Queue(settings => (settings.Capacity, settings.WhenFull) = (2, QueueFullMode.DropOldest));
        for (int number = 0; number < 5; number++)
        {
            await queue.EnqueueAsync(Snapshot(), number, static (_, _, _) => ValueTask.CompletedTask);
        }

        Assert.Equal([0, 1, 2], _abandoned.Select(work => work.State));
        Assert.All(_abandoned, work => Assert.Equal(WorkAbandonReason.Dropped, work.Reason));
        await queue.StartAsync(default);
        await queue.StopAsync(default);
        Assert.Equal((5, 2, 3), (queue.Accepted, queue.Run, queue.Abandoned));
    }

    [Fact]
    public async Task Work_DeadlinePassedWhileWaiting_IsAbandoned()
    {
        using BackgroundWorkQueue queue = Queue();
        await EnqueueAsync(queue);
        _clock.Advance(TimeSpan.FromSeconds(30));
        await queue.StartAsync(default);
        await queue.StopAsync(default);
        Assert.Equal(WorkAbandonReason.Expired, Assert.Single(_abandoned).Reason);
    }

    [Fact]
    public async Task Work_Fails_IsLoggedAndTheWorkerGoesOn()
    {
        using BackgroundWorkQueue queue = Queue(settings => settings.Workers = 1);
        await queue.StartAsync(default);
        await queue.EnqueueAsync(Snapshot(), 0, static (_, _, _) => throw new FormatException());
        await EnqueueAsync(queue);
        await queue.StopAsync(default);
        Assert.Equal((2, 2, 0), (queue.Accepted, queue.Run, queue.Abandoned));
        Assert.Single(_logs.WithId(1020));
    }

    [Fact]
    public async Task Stop_DrainsThenCancelsThenAbandons()
    {
        using BackgroundWorkQueue queue = Queue(settings => (settings.Workers, settings.DrainTimeout, settings.Grace) = (2, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(5)));
        await queue.StartAsync(default);
        var state = (Polite: new TaskCompletionSource<ScopeCause>(), Stubborn: new TaskCompletionSource(), Started: new CountdownEvent(2));
        await queue.EnqueueAsync(Snapshot(1), state, static async (_, state, token) =>
        {
            RequestScope scope = RequestScope.Current!;
            state.Started.Signal();
            try
            {
                await Task.Delay(Timeout.Infinite, token);
            }
            finally
            {
                state.Polite.TrySetResult(scope.Cause);
            }
        });
        await queue.EnqueueAsync(Snapshot(2), state, static async (_, state, _) =>
        {
            state.Started.Signal();
            await state.Stubborn.Task;
        });
        await EnqueueAsync(queue, 3);
        state.Started.Wait(TestContext.Current.CancellationToken);

        int armed = _clock.ArmedTimers;
        Task stop = queue.StopAsync(default);
        await Assert.ThrowsAsync<WorkRefusedException>(() => EnqueueAsync(queue));
        await _clock.WaitForTimersAsync(armed + 1);
        _clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal(ScopeCause.Shutdown, await state.Polite.Task);
        await _cancelled.Task;
        await _clock.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => stop.IsCompleted, "the end of the grace");
        await stop;

        Assert.Equal((3, 0, 3), (queue.Accepted, queue.Run, queue.Abandoned));
        Assert.Equal(
            [WorkAbandonReason.NotStarted, WorkAbandonReason.Cancelled, WorkAbandonReason.StillRunning],
            _abandoned.Select(work => work.Reason));
        state.Stubborn.SetResult();
        await _logs.WaitForAsync(entry => entry.Id.Id == 1027);
        Assert.Equal((3, 0, 3), (queue.Accepted, queue.Run, queue.Abandoned));
    }

    [Fact]
    public async Task Stop_RacingProducers_AcceptedIsRunPlusAbandoned()
    {
        for (int round = 0; round < 20; round++)
        {
            using BackgroundWorkQueue queue = Queue(settings => (settings.Capacity, settings.Workers, settings.DrainTimeout, settings.Grace) = (64, 3, TimeSpan.Zero, TimeSpan.FromHours(1)), TimeProvider.System);
            int ran = 0;
            await queue.StartAsync(default);
            Task[] producers = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
            {
                for (int item = 0; item < 2000; item++)
                {
                    queue.TryEnqueue(ScopeSnapshot.Create(TimeSpan.FromMinutes(1)), new Counter(() => Interlocked.Increment(ref ran)), static async (_, counter, token) =>
                    {
                        await Task.Yield();
                        token.ThrowIfCancellationRequested();
                        counter.Count();
                    });
                }
            }))];
            await Task.Yield();
            await queue.StopAsync(default);
            await Task.WhenAll(producers);
            Assert.Equal(queue.Accepted, queue.Run + queue.Abandoned);
            Assert.Equal(ran, queue.Run);
        }
    }

    [Fact]
    public async Task Enqueue_StateOrClosureOfARequest_IsRefused()
    {
        using BackgroundWorkQueue queue = Queue();
        using RequestScope scope = RequestScope.Begin();
        await Assert.ThrowsAsync<ArgumentException>(async () => await queue.EnqueueAsync(Snapshot(), scope, static (_, _, _) => ValueTask.CompletedTask));
        await Assert.ThrowsAsync<ArgumentException>(async () => await queue.EnqueueAsync(Snapshot(), (IServiceProvider)_services, static (_, _, _) => ValueTask.CompletedTask));
        await Assert.ThrowsAsync<ArgumentException>(async () => await queue.EnqueueAsync(Snapshot(), 0, (_, _, _) => new ValueTask(Task.FromResult(scope.Id))));
        await Assert.ThrowsAsync<ArgumentException>(async () => await queue.EnqueueAsync(Snapshot(), (scope, 7), static (_, _, _) => ValueTask.CompletedTask));
        foreach (int number in (int[])[1])
        {
            // The scope is in the closure of the method, the number in that of the loop.
            await Assert.ThrowsAsync<ArgumentException>(async () => await queue.EnqueueAsync(Snapshot(), 0, (_, _, _) => new ValueTask(Task.FromResult(scope.Id + number))));
        }

        await EnqueuePlainAsync("fine");

        ValueTask EnqueuePlainAsync(string plain) => queue.EnqueueAsync(Snapshot(), 0, (_, _, _) => new ValueTask(Task.FromResult(plain)));
    }

    [Fact]
    public async Task AddBackgroundWorkQueue_Twice_IsOneQueue_WithSettingsAndHandlers()
    {
        var abandoned = new List<AbandonedWork>();
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection([KeyValuePair.Create("Resilience:Background:default:Workers", (string?)"1"), KeyValuePair.Create("Resilience:Background:default:DrainTimeout", (string?)"00:00:00")]);
        builder.Services.AddBackgroundWorkQueue(onAbandoned: (_, work) => abandoned.Add(work));
        builder.Services.AddBackgroundWorkQueue(configure: settings => settings.Capacity = 3);
        builder.Services.AddBackgroundWorkQueue("mail");
        using IHost host = builder.Build();
        await host.StartAsync(TestContext.Current.CancellationToken);
        var queue = host.Services.GetRequiredService<BackgroundWorkQueue>();
        Assert.Same(queue, host.Services.GetRequiredKeyedService<BackgroundWorkQueue>("default"));
        Assert.NotSame(queue, host.Services.GetRequiredKeyedService<BackgroundWorkQueue>("mail"));
        Assert.Equal(2, host.Services.GetServices<IHostedService>().OfType<BackgroundWorkQueue>().Count());
        Assert.Equal(3, host.Services.GetRequiredKeyedService<LiveSettings<BackgroundQueueSettings>>("default").Current.Capacity);
        var started = new TaskCompletionSource();
        await queue.EnqueueAsync(ScopeSnapshot.Create(TimeSpan.FromMinutes(1)), started, static async (_, started, token) =>
        {
            started.SetResult();
            await Task.Delay(Timeout.Infinite, token);
        });
        await started.Task;
        await host.StopAsync(TestContext.Current.CancellationToken);
        Assert.Equal(WorkAbandonReason.Cancelled, Assert.Single(abandoned).Reason);
    }

    private BackgroundWorkQueue Queue(Action<BackgroundQueueSettings>? configure = null, TimeProvider? clock = null)
    {
        var settings = new BackgroundQueueSettings();
        configure?.Invoke(settings);
        return new BackgroundWorkQueue("test", () => settings, _services.GetRequiredService<IServiceScopeFactory>(), _monitor, work =>
        {
            lock (_abandoned)
            {
                _abandoned.Add(work);
            }

            if (work.Reason == WorkAbandonReason.Cancelled)
            {
                _cancelled.TrySetResult();
            }
        }, clock ?? _clock, checkClosures: true);
    }

    private ScopeSnapshot Snapshot(int seconds = 30) => ScopeSnapshot.Create(TimeSpan.FromSeconds(seconds * 30), timeProvider: _clock);

    private Task EnqueueAsync(BackgroundWorkQueue queue, int state = 0) =>
        queue.EnqueueAsync(ScopeSnapshot.Create(TimeSpan.FromSeconds(30), timeProvider: _clock), state, static (_, _, _) => ValueTask.CompletedTask).AsTask();

    private sealed record Counter(Action Count);

    private sealed class Tracked : IDisposable
    {
        public bool IsDisposed { get; private set; }

        public void Dispose() => IsDisposed = true;
    }
}
