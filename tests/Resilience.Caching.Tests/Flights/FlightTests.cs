using Resilience.TestKit;

namespace Resilience.Caching.Tests.Flights;

public sealed class FlightTests
{
    private static readonly AsyncLocal<string?> Ambient = new();

    [Fact]
    public async Task GetOrCreate_ThousandCallersOfOneColdKey_RunsOneFactory()
    {
        await using ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        int calls = 0;
        Task<string>[] callers = [.. Enumerable.Range(0, 1000).Select(_ => Task.Run(async () => await cache.GetAsync("key", async token =>
        {
            Interlocked.Increment(ref calls);
            return await gate.Task;
        })))];
        TestCache.Until(() => cache.Snapshot().Joined >= 999, "the others have joined");
        gate.SetResult("value");

        Assert.All(await Task.WhenAll(callers), value => Assert.Equal("value", value));
        Assert.Equal(1, calls);
        TestCache.UntilNoFlights(cache);
    }

    [Fact]
    public async Task GetOrCreate_LeaderGivesUp_OthersGetTheValueOfTheSameLoad()
    {
        await using ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var leader = new CancellationTokenSource();
        int calls = 0;
        ValueTask<string> Load(CancellationToken token)
        {
            calls++;
            token.Register(() => gate.TrySetCanceled());
            return new ValueTask<string>(gate.Task);
        }

        Task<string> first = cache.GetAsync("key", Load, cancellationToken: leader.Token).AsTask();
        Task<string> second = cache.GetAsync("key", Load).AsTask();
        await leader.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        gate.SetResult("value");
        Assert.Equal("value", await second);
        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task GetOrCreate_LastWaiterGivesUp_CancelsTheLoadAndFreesTheKey()
    {
        await using ResilientCache cache = TestCache.New();
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var one = new CancellationTokenSource();
        using var two = new CancellationTokenSource();
        async ValueTask<string> Load(CancellationToken token)
        {
            token.Register(() => cancelled.TrySetResult());
            await Task.Delay(Timeout.Infinite, token);
            return "never";
        }

        Task<string> first = cache.GetAsync("key", Load, cancellationToken: one.Token).AsTask();
        Task<string> second = cache.GetAsync("key", Load, cancellationToken: two.Token).AsTask();
        await one.CancelAsync();
        Assert.False(cancelled.Task.IsCompleted);
        await two.CancelAsync();

        await cancelled.Task.Soon();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        Assert.Equal("fresh", await cache.GetAsync("key", "fresh"));
    }

    [Fact]
    public async Task GetOrCreate_FactoryIgnoresItsToken_IsAbandonedAtTheLoadTimeoutAndTheKeyIsFree()
    {
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time);
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> first = cache.GetAsync("key", _ => new ValueTask<string>(hung.Task), new CacheEntryOptions { LoadTimeout = TimeSpan.FromSeconds(5) }).AsTask();
        time.Advance(TimeSpan.FromSeconds(5));

        CacheLoadTimeoutException failure = await Assert.ThrowsAsync<CacheLoadTimeoutException>(() => first);
        Assert.Equal(TimeSpan.FromSeconds(5), failure.Timeout);
        Assert.Equal("second", await cache.GetAsync("key", "second"));
        hung.SetResult("late");
        await Task.Yield();
        Assert.Equal("second", await cache.GetCachedAsync("key"));
        Assert.Equal(1024, cache.Core.LoadPermits.CurrentCount);
    }

    [Fact]
    public async Task GetOrCreate_FactoryFails_AllWaitersGetTheOneFailure()
    {
        await using ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        int calls = 0;
        ValueTask<string> Load(CancellationToken token)
        {
            Interlocked.Increment(ref calls);
            return new ValueTask<string>(gate.Task);
        }

        Task<string>[] callers = [.. Enumerable.Range(0, 10).Select(_ => cache.GetAsync("key", Load).AsTask())];
        gate.SetException(new InvalidDataException("source"));
        foreach (Task<string> caller in callers)
        {
            Assert.Equal("source", (await Assert.ThrowsAsync<InvalidDataException>(() => caller)).Message);
        }

        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task GetOrCreate_FailureExpirationSet_FurtherCallersGetTheFailureUntilItEnds()
    {
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time);
        var options = new CacheEntryOptions { FailureExpiration = TimeSpan.FromSeconds(10) };
        int calls = 0;
        ValueTask<string> Load(CancellationToken token) => ++calls == 1 ? throw new InvalidDataException("source") : new ValueTask<string>("value");

        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync("key", Load, options));
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync("key", Load, options));
        Assert.Equal(1, calls);
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal("value", await cache.GetAsync("key", Load, options));
    }

    [Fact]
    public async Task GetOrCreate_ForeignCancellation_IsAFailureThatFailSafeCovers()
    {
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time);
        await cache.GetAsync("key", "old");
        time.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal("old", await cache.GetAsync<string>("key", _ => throw new TaskCanceledException("HttpClient timed out")));
        Assert.Equal(1, cache.Snapshot().SourceFailures);
    }

    [Fact]
    public async Task GetOrCreate_AmbientContextOfTheLeader_IsSeenByTheFactory()
    {
        await using ResilientCache cache = TestCache.New();
        using var source = new CancellationTokenSource();
        Ambient.Value = "leader";
        string seen = await cache.GetAsync(
            "key",
            async token =>
            {
                string? before = Ambient.Value;
                await Task.Yield();
                return $"{before} {Ambient.Value}";
            },
            cancellationToken: source.Token);
        Assert.Equal("leader leader", seen);
    }

    [Fact]
    public async Task GetOrCreate_FromInsideItsOwnFactory_ThrowsAtOnceWithTheChain()
    {
        await using ResilientCache cache = TestCache.New();
        CacheReentrancyException failure = await Assert.ThrowsAsync<CacheReentrancyException>(async () =>
            await cache.GetAsync("a", async _ =>
            {
                await Task.Yield();
                return await cache.GetAsync("b", async _ => await cache.GetAsync("a", "inner"));
            }));
        Assert.Equal(["a", "b", "a"], failure.Chain);
        Assert.DoesNotContain("'a'", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GetOrCreate_OtherCachesSameKeyInsideTheFactory_IsNoReentrancy()
    {
        await using ResilientCache outer = TestCache.New();
        await using ResilientCache inner = TestCache.New(name: "inner");
        Assert.Equal("value", await outer.GetAsync("key", async _ => await inner.GetAsync("key", "value")));
    }

    [Fact]
    public async Task GetOrCreate_MoreLoadsThanAllowed_WaitForTheirTurn()
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.MaxConcurrentLoads = 2);
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int running = 0;
        int most = 0;
        Task<string>[] callers = [.. Enumerable.Range(0, 8).Select(i => cache.GetAsync($"key{i}", async _ =>
        {
            int now = Interlocked.Increment(ref running);
            InterlockedMax(ref most, now);
            await gate.Task;
            Interlocked.Decrement(ref running);
            return "value";
        }).AsTask())];
        gate.SetResult();
        await Task.WhenAll(callers);
        Assert.Equal(2, most);
        Assert.Equal(2, cache.Core.LoadPermits.CurrentCount);
    }

    [Fact]
    public async Task GetOrCreate_CancellationStorm_LosesNoPermitAndNoFlight()
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.MaxConcurrentLoads = 4);
        await new StressRunner { Workers = 8 }.RunAsync(async worker =>
        {
            using var source = new CancellationTokenSource();
            string key = $"key{worker.Random.Next(4)}";
            ValueTask<string> read = cache.GetAsync(key, async token =>
            {
                await Task.Yield();
                token.ThrowIfCancellationRequested();
                return "value";
            }, new CacheEntryOptions { Expiration = TimeSpan.FromMilliseconds(1), StaleFor = TimeSpan.Zero }, cancellationToken: source.Token);
            if (worker.Random.Next(2) == 0)
            {
                await source.CancelAsync();
            }

            try
            {
                Assert.Equal("value", await read);
            }
            catch (OperationCanceledException) when (source.IsCancellationRequested)
            {
                // Given up by ourselves.
            }
        });
        TestCache.Until(() => cache.Core.LoadPermits.CurrentCount == 4 && cache.Snapshot().Flights == 0, "the loads' end");
        Assert.Equal(4, cache.Core.LoadPermits.CurrentCount);
        Assert.Equal(0, cache.Snapshot().Flights);
    }

    private static void InterlockedMax(ref int target, int value)
    {
        int seen;
        while (value > (seen = Volatile.Read(ref target)) && Interlocked.CompareExchange(ref target, value, seen) != seen)
        {
        }
    }
}
