using System.Threading.Channels;

namespace Resilience.Context.Tests.Scopes;

/// <summary>
/// Every way in which an execution context is captured: with a scope nothing of the payload survives its end; with a raw AsyncLocal, the
/// positive control, it does.
/// </summary>
public sealed class KeepAliveTests
{
    private static readonly ScopeKey<Payload> Key = new("payload");
    private static readonly AsyncLocal<Payload?> Raw = new();

    /// <summary>The captures, by name. Each leaves something behind that holds on to the flow in which it was made.</summary>
    private static readonly Dictionary<string, Action<LeakProbe>> Captures = new(StringComparer.Ordinal)
    {
        ["timer"] = static probe => probe.Keep(new Timer(static _ => { }, null, Timeout.Infinite, Timeout.Infinite)),
        ["provider timer"] = static probe => probe.Keep(TimeProvider.System.CreateTimer(static _ => { }, null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan)),
        ["system timer"] = static probe =>
        {
            System.Timers.Timer timer = probe.Keep(new System.Timers.Timer(3_600_000));
            timer.Elapsed += static (_, _) => { };
            timer.Start();
        },
        ["token registration"] = static probe => probe.Keep(new CancellationTokenSource()).Token.Register(static () => { }),
        ["pending await"] = static probe =>
        {
            TaskCompletionSource never = probe.Keep(new TaskCompletionSource());
            _ = WaitAsync(never.Task);
            static async Task WaitAsync(Task task) => await task;
        },
        ["continuation"] = static probe => probe.Keep(new TaskCompletionSource()).Task.ContinueWith(static _ => { }, TaskScheduler.Default),
        ["delay loop"] = static probe =>
        {
            CancellationTokenSource stop = probe.Keep(new CancellationTokenSource());
            _ = LoopAsync(stop.Token);
            static async Task LoopAsync(CancellationToken stop)
            {
                while (true)
                {
                    await Task.Delay(TimeSpan.FromHours(1), stop);
                }
            }
        },
        ["periodic timer loop"] = static probe =>
        {
            PeriodicTimer timer = probe.Keep(new PeriodicTimer(TimeSpan.FromHours(1)));
            _ = LoopAsync(timer);
            static async Task LoopAsync(PeriodicTimer timer)
            {
                while (await timer.WaitForNextTickAsync())
                {
                }
            }
        },
        ["channel reader"] = static probe =>
        {
            Channel<int> channel = probe.Keep(Channel.CreateUnbounded<int>());
            _ = ReadAsync(channel.Reader);
            static async Task ReadAsync(ChannelReader<int> reader)
            {
                await foreach (int _ in reader.ReadAllAsync())
                {
                }
            }
        },
        ["blocking task"] = static probe =>
        {
            var running = new ManualResetEventSlim();
            Blocker release = probe.Keep(new Blocker());
            _ = Task.Run(() =>
            {
                running.Set();
                release.Wait();
            });
            running.Wait();
        },
        ["queued work item"] = static probe =>
        {
            var running = new ManualResetEventSlim();
            Blocker release = probe.Keep(new Blocker());
            ThreadPool.QueueUserWorkItem(_ =>
            {
                running.Set();
                release.Wait();
            });
            running.Wait();
        },
        ["thread"] = static probe =>
        {
            var running = new ManualResetEventSlim();
            Blocker release = probe.Keep(new Blocker());
            new Thread(() =>
            {
                running.Set();
                release.Wait();
            })
            { IsBackground = true }.Start();
            running.Wait();
        },
        ["registered wait"] = static probe =>
        {
            AutoResetEvent never = probe.Keep(new AutoResetEvent(false));
            probe.Keep(ThreadPool.RegisterWaitForSingleObject(never, static (_, _) => { }, null, Timeout.Infinite, executeOnlyOnce: true));
        },
        ["unstarted task"] = static probe => probe.Keep(Tuple.Create(new Task(static () => { }))),
        ["semaphore wait"] = static probe =>
        {
            SemaphoreSlim empty = probe.Keep(new SemaphoreSlim(0));
            CancellationTokenSource stop = probe.Keep(new CancellationTokenSource());
            _ = WaitAsync(empty, stop.Token);
            static async Task WaitAsync(SemaphoreSlim semaphore, CancellationToken stop) => await semaphore.WaitAsync(stop);
        },
        ["iterator parked at an await"] = static probe =>
        {
            IAsyncEnumerator<int> numbers = probe.Keep(NumbersAsync().GetAsyncEnumerator());
            _ = numbers.MoveNextAsync().AsTask();
            static async IAsyncEnumerable<int> NumbersAsync()
            {
                await new TaskCompletionSource().Task;
                yield return 1;
            }
        },
        ["iterator parked at a yield"] = static probe =>
        {
            IAsyncEnumerator<int> numbers = probe.Keep(NumbersAsync().GetAsyncEnumerator());
            Task first = FirstAsync(numbers);
            while (!first.IsCompleted)
            {
                Thread.Yield();
            }

            static async Task FirstAsync(IAsyncEnumerator<int> numbers) => Assert.True(await numbers.MoveNextAsync());
            static async IAsyncEnumerable<int> NumbersAsync()
            {
                await Task.Yield();
                yield return 1;
            }
        },
        ["file watcher"] = static probe =>
        {
            FileSystemWatcher watcher = probe.Keep(new FileSystemWatcher(Path.GetTempPath(), "nothing-here"));
            watcher.Created += static (_, _) => { };
            watcher.EnableRaisingEvents = true;
        },
        ["stored context"] = static probe => probe.Keep(ExecutionContext.Capture()!),
    };

    public static TheoryData<string> Names => [.. Captures.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Dispose_FlowCaptured_PayloadIsCollected(string capture) => LeakAssert.Collected(probe =>
    {
        using RequestScope scope = RequestScope.Begin();
        scope.Set(Key, probe.Track(new Payload()));
        Captures[capture](probe);
    });

    [Theory]
    [MemberData(nameof(Names))]
    public void RawAsyncLocal_FlowCaptured_PayloadStaysAlive(string capture) => LeakAssert.StillAlive(probe =>
    {
        Raw.Value = probe.Track(new Payload());
        Captures[capture](probe);
        Raw.Value = null;
    });

    [Fact]
    public void Dispose_ScopeItselfCaptured_PayloadIsCollected() => LeakAssert.Collected(static probe =>
    {
        using RequestScope scope = RequestScope.Begin();
        scope.Set(Key, probe.Track(new Payload()));
        probe.Keep(new Func<Payload?>(() => scope.Get(Key)));
    });

    [Fact]
    public void PayloadItselfCaptured_StaysAlive() => LeakAssert.StillAlive(static probe =>
    {
        using RequestScope scope = RequestScope.Begin();
        Payload payload = probe.Track(new Payload());
        scope.Set(Key, payload);
        probe.Keep(new Func<Payload>(() => payload));
    });

    [Fact]
    public void Dispose_TokenAndRegistrationKept_PayloadIsCollected() => LeakAssert.Collected(static probe =>
    {
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromHours(1) });
        scope.Set(Key, probe.Track(new Payload()));
        probe.Keep((object)scope.Token);
        probe.Keep((object)scope.Token.Register(static () => { }));
    });

    [Fact]
    public void Dispose_LongLivedHostTokenLinked_PayloadIsCollected() => LeakAssert.Collected(static probe =>
    {
        CancellationTokenSource host = probe.Keep(new CancellationTokenSource());
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Aborted = host.Token });
        scope.Set(Key, probe.Track(new Payload()));
        _ = scope.Token;
    });

    [Fact]
    public void Dispose_ThousandNested_LeafHoldsNoPayload() => LeakAssert.Collected(static probe =>
    {
        var scopes = new Stack<RequestScope>();
        for (int depth = 0; depth < 1000; depth++)
        {
            RequestScope scope = RequestScope.Begin();
            scope.Set(Key, probe.Track(new Payload()));
            scopes.Push(scope);
        }

        probe.Keep(ExecutionContext.Capture()!);
        while (scopes.TryPop(out RequestScope? scope))
        {
            scope.Dispose();
        }
    });

    private sealed class Blocker : IDisposable
    {
        private readonly ManualResetEventSlim _event = new();

        public void Wait() => _event.Wait();

        public void Dispose() => _event.Set();
    }
}
