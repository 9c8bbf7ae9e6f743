using System.Diagnostics;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Flights;

/// <summary>Loads that fail, hang, are left, or wait for one another.</summary>
public sealed class LoadIsolationTests
{
    private static readonly AsyncLocal<string?> Ambient = new();
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task Fail_ThousandWaiters_EachStackBeginsAtTheSourceAndNoneGrows()
    {
        await using ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        async ValueTask<string> Source(CancellationToken token)
        {
            await gate.Task;
            return ThrowAtTheSource();
        }

        Task<string>[] callers = [.. Enumerable.Range(0, 1000).Select(_ => cache.GetAsync("key", Source).AsTask())];
        gate.SetResult();
        foreach (Task<string> caller in callers)
        {
            string stack = (await Assert.ThrowsAsync<InvalidDataException>(() => caller.Soon())).StackTrace!;
            Assert.Equal(2, stack.Split(nameof(ThrowAtTheSource)).Length);
            Assert.True(stack.Length < 8_000, stack);
        }
    }

    [Fact]
    public async Task Fail_AtOnce_IsThrownWhenAwaitedNotWhenCalled()
    {
        await using ResilientCache cache = TestCache.New();
        ValueTask<string> read = cache.GetAsync<string>("key", _ => throw new InvalidDataException());
        Assert.True(read.IsFaulted);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await read);
    }

    [Fact]
    public async Task ForeignCancellation_WithoutAStaleCopy_IsEverybodysFailureThoughNobodyCancelled()
    {
        await using ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        async ValueTask<string> Source(CancellationToken token)
        {
            await gate.Task;
            throw new TaskCanceledException("The HTTP client's own timeout.");
        }

        using var mine = new CancellationTokenSource();
        Task<string>[] callers = [.. Enumerable.Range(0, 3).Select(_ => cache.GetAsync("key", Source, cancellationToken: mine.Token).AsTask())];
        gate.SetResult();
        foreach (Task<string> caller in callers)
        {
            Assert.Contains("own timeout", (await Assert.ThrowsAsync<TaskCanceledException>(() => caller.Soon())).Message, StringComparison.Ordinal);
        }

        Assert.Equal(1, cache.Snapshot().SourceFailures);
    }

    [Fact]
    public async Task Fail_NothingIsRememberedByDefault()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>("key", _ => throw new InvalidDataException()));
        Assert.Equal("value", await cache.GetAsync("key", "value"));
    }

    [Fact]
    public async Task Leave_LastWaiterWhileTheSharedTierIsAsked_TheFactoryNeverRuns()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(shared: tier);
        await cache.GetAsync("warm", "x");
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        tier.Before = async call =>
        {
            if (call == "read")
            {
                asked.TrySetResult();
                await answer.Task;
            }
        };
        using var source = new CancellationTokenSource();
        long loads = cache.Snapshot().SourceLoads;
        Task<string> read = cache.GetAsync<string>("key", _ => throw new InvalidOperationException("Nobody waits."), cancellationToken: source.Token).AsTask();
        await asked.Task.Soon();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Soon());
        tier.Before = null;
        answer.SetResult();
        Assert.Equal("next", await cache.GetAsync("key", "next").Soon());
        Assert.Equal(loads + 1, cache.Snapshot().SourceLoads);
        Assert.Equal(0, cache.Snapshot().SourceFailures);
    }

    [Fact]
    public async Task Join_FlightThatEndedSinceTheLook_DoesNotLoadAgain()
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.Expiration = TimeSpan.FromHours(1));
        long keys = 0;
        long calls = 0;
        await new StressRunner { Workers = 8, MaxIterations = 50_000 }.RunAsync(async worker =>
        {
            // All workers come to the same new key at about the same moment, and its factory is done at once.
            long key = worker.Random.Next(20) == 0 ? Interlocked.Increment(ref keys) : Volatile.Read(ref keys);
            await cache.GetAsync($"key{key}", _ =>
            {
                Interlocked.Increment(ref calls);
                return new ValueTask<long>(key);
            });
        });
        Assert.InRange(Interlocked.Read(ref calls), 1, keys + 1);
        Assert.Equal(cache.Snapshot().LocalCount, calls);
    }

    [Fact]
    public async Task LoadTimeout_HungLoads_GiveTheirPermitsBackWhileTheyHang()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.MaxConcurrentLoads = 2);
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var options = new CacheEntryOptions { LoadTimeout = TimeSpan.FromSeconds(5) };
        Task<string>[] callers = [.. Enumerable.Range(0, 4).Select(i => cache.GetAsync($"key{i}", _ => new ValueTask<string>(hung.Task), options).AsTask())];
        Assert.Equal(2, cache.Snapshot().SourceLoads);
        _time.Advance(TimeSpan.FromSeconds(5));
        foreach (Task<string> caller in callers)
        {
            await Assert.ThrowsAsync<CacheLoadTimeoutException>(() => caller.Soon());
        }

        Assert.Equal("value", await cache.GetAsync("other", "value").Soon());
        TestCache.Until(() => cache.Core.LoadPermits.CurrentCount == 2, "both permits");
        hung.SetResult("late");
        Assert.Equal(2, cache.Core.LoadPermits.CurrentCount);
        TestCache.UntilNoFlights(cache);
    }

    [Fact]
    public async Task LoadTimeout_CancelsTheFactorysToken()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> read = cache.GetAsync<string>("key", async token =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, token);
                return "never";
            }
            finally
            {
                cancelled.SetResult();
            }
        }, new CacheEntryOptions { LoadTimeout = TimeSpan.FromSeconds(5) }).AsTask();
        _time.Advance(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAsync<CacheLoadTimeoutException>(() => read.Soon());
        await cancelled.Task.Soon();
        Assert.Equal((1, 1), (cache.Snapshot().LoadTimeouts, cache.Snapshot().SourceFailures));
    }

    [Fact]
    public async Task LoadTimeout_StaleCopyAtHand_StandsInAndLeavesTheSourceAlone()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> read = cache.GetAsync("key", _ => new ValueTask<string>(hung.Task), new CacheEntryOptions { LoadTimeout = TimeSpan.FromSeconds(5) }).AsTask();
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("old", await read.Soon());
        Assert.Equal("old", await cache.GetAsync<string>("key", _ => throw new InvalidOperationException("throttled")));
        hung.SetResult("late");
    }

    [Fact]
    public async Task SoftTimeout_ThenTheLoadHangs_LoadTimeoutStillAbandonsIt()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var options = new CacheEntryOptions { SoftTimeout = TimeSpan.FromMilliseconds(100), LoadTimeout = TimeSpan.FromSeconds(5) };
        Task<string> read = cache.GetAsync("key", _ => new ValueTask<string>(hung.Task), options).AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("old", await read.Soon());
        Assert.Equal("old", await cache.GetAsync<string>("key", _ => throw new InvalidOperationException("joins"), options).Soon());
        Assert.Equal(1, cache.Snapshot().Flights);
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(0, cache.Snapshot().Flights);
        Assert.Equal(1, cache.Snapshot().LoadTimeouts);
        Assert.Equal(1024, cache.Core.LoadPermits.CurrentCount);
    }

    [Fact]
    public async Task SoftTimeout_ThenTheKeyIsRemovedAndTheLoadHangs_LoadTimeoutStillFreesItsPermitAndCancelsIt()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var options = new CacheEntryOptions { SoftTimeout = TimeSpan.FromMilliseconds(100), LoadTimeout = TimeSpan.FromSeconds(5) };
        CancellationToken seen = default;
        Task<string> read = cache.GetAsync("key", token =>
        {
            seen = token;
            return new ValueTask<string>(hung.Task);
        }, options).AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("old", await read.Soon());
        await cache.RemoveAsync("key");
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(1024, cache.Core.LoadPermits.CurrentCount);
        TestCache.Until(() => seen.IsCancellationRequested, "the factory's token to be cancelled");
    }

    [Fact]
    public async Task Reentrancy_ThroughABatch_ThrowsAtOnceInBothDirections()
    {
        await using ResilientCache cache = TestCache.New();
        CacheReentrancyException fromSingle = await Assert.ThrowsAsync<CacheReentrancyException>(() => cache.GetAsync<string>("a", async _ =>
        {
            await Task.Yield();
            return (await cache.ManyAsync(["b", "a"], keys => keys.Select(key => (key, "x"))))["a"];
        }).Soon());
        Assert.Equal(["a", "a"], fromSingle.Chain);
        CacheReentrancyException fromBatch = await Assert.ThrowsAsync<CacheReentrancyException>(() => cache.GetOrCreateManyAsync<int, string>(["x", "y"], 0, async (keys, _, _) =>
        {
            await Task.Yield();
            return new Dictionary<string, string> { ["x"] = await cache.GetAsync("y", "inner") };
        }).Soon());
        Assert.Equal(["y", "y"], fromBatch.Chain);
        TestCache.UntilNoFlights(cache);
    }

    [Fact]
    public async Task Reentrancy_TwoFactoriesThatWaitForOneAnother_OneThrowsAndNobodyHangs()
    {
        await using ResilientCache cache = TestCache.New();
        var both = new Barrier2();
        async Task<string> Load(string key, string needs) => await cache.GetAsync(key, async _ =>
        {
            await both.ArriveAsync();
            return await cache.GetAsync(needs, async _ =>
            {
                await Task.Yield();
                return "inner";
            });
        });

        Task<string>[] loads = [Load("a", "b"), Load("b", "a")];
        var failures = new List<CacheReentrancyException>();
        foreach (Task<string> load in loads)
        {
            failures.Add(await Assert.ThrowsAsync<CacheReentrancyException>(() => load.Soon()));
        }

        Assert.All(failures, failure => Assert.Equal(3, failure.Chain.Count));
        TestCache.UntilNoFlights(cache);
        Assert.Equal("fine", await cache.GetAsync("a", "fine"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Reentrancy_ThroughOneOfSeveralWaitsOfAFactory_IsFound(bool otherEndsFirst)
    {
        await using ResilientCache cache = TestCache.New();
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var slow = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> other = null!;
        Task<string> part = cache.GetAsync("part", async _ =>
        {
            await go.Task;
            return await cache.GetAsync("whole", "never");
        }).AsTask();
        Task<string> whole = cache.GetAsync("whole", async _ =>
        {
            Task<string> first = cache.GetAsync("part", "never").AsTask();
            other = cache.GetAsync("other", async _ =>
            {
                await slow.Task;
                return "other";
            }).AsTask();
            return string.Concat(await Task.WhenAll(first, other));
        }).AsTask();
        if (otherEndsFirst)
        {
            slow.SetResult();
            await other.Soon();
        }

        go.SetResult();
        CacheReentrancyException failure = await Assert.ThrowsAsync<CacheReentrancyException>(() => part.Soon());
        Assert.Equal(["part", "whole", "part"], failure.Chain);
        slow.TrySetResult();
        await Assert.ThrowsAsync<CacheReentrancyException>(() => whole.Soon());
        TestCache.UntilNoFlights(cache);
    }

    [Fact]
    public async Task Reentrancy_ThroughABatchOfWhichThePartThatStandsForItIsThere_IsFound()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache node = TestCache.New(shared: tier);
        await using ResilientCache cache = TestCache.New(shared: tier);
        await node.SetAsync("x", "there");
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var asked = new TaskCompletionSource<IReadOnlyList<string>>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> part = cache.GetAsync("part", async _ =>
        {
            await go.Task;
            return await cache.GetAsync("whole", "never");
        }).AsTask();
        Task<string> whole = cache.GetAsync("whole", async _ => string.Concat((await cache.GetOrCreateManyAsync<int, string>(["x", "y"], 0, async (keys, _, _) =>
        {
            asked.SetResult(keys);
            return new Dictionary<string, string> { ["y"] = await cache.GetAsync("part", "never") };
        })).Values)).AsTask();
        Assert.Equal(["y"], await asked.Task.Soon());
        go.SetResult();
        await Assert.ThrowsAsync<CacheReentrancyException>(() => part.Soon());
        await Assert.ThrowsAsync<CacheReentrancyException>(() => whole.Soon());
    }

    [Fact]
    public async Task Reentrancy_FactoryThatWaitsForManyAtOnce_IsNone()
    {
        await using ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> whole = cache.GetAsync("whole", async _ => string.Concat(await Task.WhenAll(Enumerable.Range(0, 500).Select(i => cache.GetAsync($"part {i % 250}", async _ =>
        {
            await gate.Task;
            return "x";
        }).AsTask())))).AsTask();
        gate.SetResult();
        Assert.Equal(new string('x', 500), await whole.Soon());
        TestCache.UntilNoFlights(cache);
    }

    [Fact]
    public async Task Reentrancy_LaterLoadOfTheSameKeyFromWorkThatTheFactoryLeftBehind_IsNone()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var later = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string>? leftBehind = null;
        await cache.GetAsync("key", async _ =>
        {
            leftBehind = Task.Run(async () =>
            {
                await later.Task;
                return await cache.GetAsync("key", "second");
            });
            await Task.Yield();
            return "first";
        });
        await cache.RemoveAsync("key");
        later.SetResult();
        Assert.Equal("second", await leftBehind!.Soon());
    }

    [Fact]
    public async Task AmbientContext_FlowsIntoARefreshInTheBackground()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { EagerRefresh = 0.5 };
        await cache.GetAsync("key", "old", options);
        _time.Advance(TimeSpan.FromSeconds(40));
        var seen = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Ambient.Value = "tenant 5";
        Assert.Equal("old", await cache.GetAsync("key", _ =>
        {
            seen.SetResult(Ambient.Value);
            return new ValueTask<string>("new");
        }, options));
        Ambient.Value = null;
        Assert.Equal("tenant 5", await seen.Task.Soon());
    }

    [Fact]
    public async Task Load_SomebodyListens_IsASpanBelowTheCallersWithItsFailure()
    {
        var spans = new List<Activity>();
        using var request = new Activity("request");
        request.Start();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Resilience.Caching",

            // Of this test's loads alone: others count what theirs allocate.
            Sample = (ref ActivityCreationOptions<ActivityContext> options) => options.Parent.TraceId == request.TraceId ? ActivitySamplingResult.AllDataAndRecorded : ActivitySamplingResult.None,
            ActivityStopped = activity =>
            {
                lock (spans)
                {
                    spans.Add(activity);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        await using ResilientCache cache = TestCache.New(name: "traced");
        await cache.GetAsync("a", async _ =>
        {
            await Task.Yield();
            return Activity.Current!.OperationName;
        });
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>("b", _ => throw new InvalidDataException()));
        Assert.Same(request, Activity.Current);
        Assert.Equal("cache.load", cache.TryGet<string>("a").Value);
        Activity[] ours;
        lock (spans)
        {
            ours = [.. spans.Where(span => span.ParentSpanId == request.SpanId)];
        }

        Assert.Equal([ActivityStatusCode.Unset, ActivityStatusCode.Error], ours.Select(span => span.Status));
        Assert.All(ours, span => Assert.Equal("traced", span.GetTagItem("cache.name")));
    }

    [Fact]
    public async Task Dispose_WhileALoadRuns_DoesNotThrow()
    {
        ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> read = cache.GetAsync("key", _ => new ValueTask<string>(gate.Task)).AsTask();
        await cache.DisposeAsync();
        await cache.DisposeAsync();
        gate.SetResult("value");
        await Task.WhenAny(read).Soon();
    }

    private static string ThrowAtTheSource() => throw new InvalidDataException("source");

    /// <summary>Lets two through together.</summary>
    private sealed class Barrier2
    {
        private readonly TaskCompletionSource _both = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _arrived;

        public Task ArriveAsync()
        {
            if (Interlocked.Increment(ref _arrived) == 2)
            {
                _both.SetResult();
            }

            return _both.Task;
        }
    }
}
