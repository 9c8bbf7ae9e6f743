using System.Buffers;
using System.Text;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching.Flights;
using Resilience.Caching.Tests.Shared;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

/// <summary>Batches hold for each of their keys what holds for a single read.</summary>
public sealed class BatchTests
{
    private static readonly CacheEntryOptions Timeouts = new() { SoftTimeout = TimeSpan.FromMilliseconds(100), LoadTimeout = TimeSpan.FromSeconds(5) };
    private readonly ManualTimeProvider _time = new();
    private readonly TaskCompletionSource<IReadOnlyDictionary<string, string>> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task EagerRefresh_InABatch_RefreshesWhatIsDueByOneCall()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { EagerRefresh = 0.5 };
        await cache.ManyAsync(["a", "b"], keys => keys.Select(key => (key, "old")), options);
        _time.Advance(TimeSpan.FromSeconds(31));
        await cache.SetAsync("c", "fresh");
        var asked = new List<string[]>();
        IReadOnlyDictionary<string, string> read = await cache.ManyAsync(["a", "b", "c"], keys =>
        {
            lock (asked)
            {
                asked.Add([.. keys]);
            }

            return keys.Select(key => (key, "new"));
        }, options);
        Assert.Equal(["old", "old", "fresh"], new[] { "a", "b", "c" }.Select(key => read[key]));
        TestCache.Until(() => cache.TryGet<string>("a").Value == "new" && cache.TryGet<string>("b").Value == "new", "the refresh");
        Assert.Equal(["a", "b"], Assert.Single(asked));
    }

    [Fact]
    public async Task Many_LoadTimeout_IsAbandonedAndItsKeysAreFree()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.MaxConcurrentLoads = 1);
        var hung = new TaskCompletionSource<IReadOnlyDictionary<string, string>>(TaskCreationOptions.RunContinuationsAsynchronously);
        CancellationToken seen = default;
        Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["a", "b"], 0, (_, _, token) =>
        {
            seen = token;
            return new ValueTask<IReadOnlyDictionary<string, string>>(hung.Task);
        }, new CacheEntryOptions { LoadTimeout = TimeSpan.FromSeconds(5) }).AsTask();
        Task<string> waiting = cache.GetAsync("other", "after").AsTask(); // The only permit is the batch's.
        Assert.False(waiting.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAsync<CacheLoadTimeoutException>(() => read.Soon());
        TestCache.Until(() => seen.IsCancellationRequested, "the factory's token to be cancelled");
        Assert.Equal("after", await waiting.Soon());
        Assert.Equal("second", await cache.GetAsync("a", "second"));
        hung.SetResult(new Dictionary<string, string> { ["a"] = "late" });
        Assert.Equal("second", await cache.GetCachedAsync("a"));
    }

    [Fact]
    public async Task Many_AllCallersLeaveWhileTheSharedTierHasAnsweredForAPart_CancelsTheCall()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache node = TestCache.New(_time, shared: tier);
        await using ResilientCache cache = TestCache.New(_time, shared: tier);
        await node.SetAsync("there", "value");
        var asked = new TaskCompletionSource<CancellationToken>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var mine = new CancellationTokenSource();
        Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["there", "missing"], 0, (_, _, token) =>
        {
            asked.SetResult(token);
            return new ValueTask<IReadOnlyDictionary<string, string>>(_source.Task.WaitAsync(token));
        }, cancellationToken: mine.Token).AsTask();
        CancellationToken seen = await asked.Task.Soon();
        await mine.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Soon());
        TestCache.Until(() => seen.IsCancellationRequested && cache.Snapshot().Flights == 0, "the factory's token to be cancelled");
    }

    [Fact]
    public async Task Many_AllCallersLeave_CancelsTheCall()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var source = new CancellationTokenSource();
        Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["a", "b"], 0, async (_, _, token) =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, token);
                return new Dictionary<string, string>();
            }
            finally
            {
                cancelled.SetResult();
            }
        }, cancellationToken: source.Token).AsTask();
        Task<string> joiner = cache.GetAsync("a", _ => new ValueTask<string>("joins"), cancellationToken: source.Token).AsTask();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Soon());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joiner.Soon());
        await cancelled.Task.Soon();
        Assert.Equal("free", await cache.GetAsync("a", "free").Soon());
    }

    [Fact]
    public async Task SoftTimeout_EveryKeyHasAStaleCopy_AnswersWithThemAndTheLoadGoesOn()
    {
        await using ResilientCache cache = await WithExpiredAsync("a", "b");
        Task<IReadOnlyDictionary<string, string>> read = ReadAsync(cache, "a", "b");
        Assert.False(read.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal(["old", "old"], (await read.Soon()).Values);
        Assert.Equal((2, 2), (cache.Snapshot().Flights, cache.Snapshot().StaleServed));
        _source.SetResult(new Dictionary<string, string> { ["a"] = "new", ["b"] = "new" });
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the load's end");
        Assert.Equal(["new", "new"], [await cache.GetCachedAsync("a"), await cache.GetCachedAsync("b")]);
    }

    [Fact]
    public async Task SoftTimeout_OneKeyHasNoStaleCopy_TheBatchWaitsForThatOneAndAnswersTheOthersStale()
    {
        await using ResilientCache cache = await WithExpiredAsync("a");
        Task<IReadOnlyDictionary<string, string>> read = ReadAsync(cache, "a", "b");
        Task<string> joiner = cache.GetAsync<string>("a", _ => throw new InvalidOperationException("joins"), Timeouts).AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("old", await joiner.Soon());
        Assert.False(read.IsCompleted);
        _source.SetResult(new Dictionary<string, string> { ["a"] = "new", ["b"] = "new" });
        IReadOnlyDictionary<string, string> values = await read.Soon();
        Assert.Equal(("old", "new"), (values["a"], values["b"]));
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the load's end");
        Assert.Equal("new", await cache.GetCachedAsync("a"));
    }

    [Fact]
    public async Task SoftTimeout_ThenTheLoadHangs_LoadTimeoutAbandonsItAndGivesItsPermitBack()
    {
        await using ResilientCache cache = await WithExpiredAsync("a", "b");
        Task<IReadOnlyDictionary<string, string>> read = ReadAsync(cache, "a", "b");
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal(["old", "old"], (await read.Soon()).Values);
        await cache.RemoveAsync("a");
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(0, cache.Snapshot().Flights);
        Assert.Equal(1024, cache.Core.LoadPermits.CurrentCount);
        _source.SetResult(new Dictionary<string, string> { ["a"] = "late", ["b"] = "late" });
        Assert.False(cache.TryGet<string>("a").HasValue);
        Assert.Equal("old", await cache.GetCachedAsync("b"));
    }

    [Fact]
    public async Task SoftTimeout_AFailureFollows_TheSourceIsLeftAlone()
    {
        await using ResilientCache cache = await WithExpiredAsync("a", "b");
        Task<IReadOnlyDictionary<string, string>> read = ReadAsync(cache, "a", "b");
        _time.Advance(TimeSpan.FromMilliseconds(100));
        await read.Soon();
        _source.SetException(new InvalidDataException());
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the load's end");
        Assert.Equal(["old", "old"], (await cache.ManyAsync(["a", "b"], _ => throw new InvalidOperationException("throttled"))).Values);
    }

    [Fact]
    public async Task Deadline_StaleCopiesAtHand_AreTheAnswer()
    {
        await using ResilientCache cache = await WithExpiredAsync("a", "b", "joined");
        var other = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> leader = cache.GetAsync("joined", _ => new ValueTask<string>(other.Task)).AsTask();
        await cache.SetAsync("fresh", "fresh");
        using (Within(2))
        {
            Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["a", "fresh", "b", "joined"], 0, (_, _, _) => new ValueTask<IReadOnlyDictionary<string, string>>(_source.Task)).AsTask();
            _time.Advance(TimeSpan.FromSeconds(2));
            IReadOnlyDictionary<string, string> values = await read.Soon();
            Assert.Equal(["old", "fresh", "old", "old"], new[] { "a", "fresh", "b", "joined" }.Select(key => values[key]));
        }

        Assert.Equal(3, cache.Snapshot().StaleServed);
        other.SetResult("new");
        Assert.Equal("new", await leader.Soon());
    }

    [Fact]
    public async Task Deadline_OneKeyHasNoStaleCopy_Throws()
    {
        await using ResilientCache cache = await WithExpiredAsync("a");
        using (Within(2))
        {
            Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["a", "b"], 0, (_, _, _) => new ValueTask<IReadOnlyDictionary<string, string>>(_source.Task)).AsTask();
            _time.Advance(TimeSpan.FromSeconds(2));
            await Assert.ThrowsAsync<DeadlineExceededException>(() => read.Soon());
        }

        Assert.Equal(1023, cache.Core.LoadPermits.CurrentCount); // its factory does not listen; the load timeout frees the permit all the same
        _time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(1024, cache.Core.LoadPermits.CurrentCount);
    }

    [Fact]
    public async Task Deadline_TheLoadEndsBecauseItWasLeft_IsLateAndNotCancelled()
    {
        var slow = new SlowSerializer();
        await using ServiceProvider provider = new ServiceCollection().AddSingleton<IHybridCacheSerializer<StringBuilder>>(slow).BuildServiceProvider();
        await using ResilientCache cache = TestCache.New(_time, parts: parts => parts with { Services = provider });
        await cache.SetAsync("stale", new StringBuilder("old"));
        _time.Advance(TimeSpan.FromSeconds(61));
        using (Within(2))
        {
            Task read = cache.GetOrCreateManyAsync<int, StringBuilder>(["stale", "missing"], 0, static async (_, _, token) =>
            {
                await Task.Delay(Timeout.Infinite, token);
                return new Dictionary<string, StringBuilder>();
            }).AsTask();
            Flight flight = cache.Core.Stripes["missing"].FirstUnderLock!;

            // The stale copy is taken first; what is missing is answered with its cancellation before it is looked at.
            slow.BeforeRead = () => TestCache.Until(() => flight.IsAnswered, "the load's end");
            _time.Advance(TimeSpan.FromSeconds(2));
            await Assert.ThrowsAsync<DeadlineExceededException>(() => read.Soon());
            Assert.True(flight.IsAnswered);
        }
    }

    [Fact]
    public async Task Deadline_AlreadyPassed_StaleCopiesOrNothing_AndTheSourceIsNotAsked()
    {
        await using ResilientCache cache = await WithExpiredAsync("a");
        using (Within(1))
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal("old", Assert.Single(await cache.ManyAsync(["a"], _ => throw new InvalidOperationException("asked"))).Value);
            await Assert.ThrowsAsync<DeadlineExceededException>(async () => await cache.ManyAsync(["a", "b"], _ => throw new InvalidOperationException("asked")));
        }

        Assert.Equal(0, cache.Snapshot().Flights);
    }

    [Fact]
    public async Task ServesStaleFirst_StaleCopiesAreHandedOutAtOnceAndRenewedByOneCall()
    {
        await using ResilientCache cache = await WithExpiredAsync("a", "b");
        cache.ServesStaleFirst = true;
        int calls = 0;
        IReadOnlyDictionary<string, string> values = await cache.ManyAsync(["a", "b", "c"], keys => keys.Select(key => (key, key == "c" ? "loaded" : $"new {Interlocked.Increment(ref calls)}")));
        Assert.Equal(["old", "old", "loaded"], new[] { "a", "b", "c" }.Select(key => values[key]));
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the refresh");
        Assert.Equal(["new 1", "new 2"], [await cache.GetCachedAsync("a"), await cache.GetCachedAsync("b")]);
    }

    [Fact]
    public async Task SharedTierOut_SuspectCopiesHoldForAsLongAsANodeMayBeBlind()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(_time, options => options.Shared.BlindFor = TimeSpan.FromSeconds(30), tier);
        await cache.ManyAsync(["a", "b"], keys => keys.Select(key => (key, "old")));
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(5));
        tier.Fails = true;
        cache.Core.Distrust();
        Assert.Equal(["old", "old"], (await cache.ManyAsync(["a", "b"], _ => throw new InvalidOperationException("They hold."))).Values);
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.Equal(["new", "new"], (await cache.ManyAsync(["a", "b"], keys => keys.Select(key => (key, "new")))).Values);
    }

    [Fact]
    public async Task Commit_OneValueCannotBeKept_IsThatKeysFailureAlone()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await Assert.ThrowsAsync<NotSupportedException>(async () => await cache.GetOrCreateManyAsync<int, object>(["bad", "good"], 0, (_, _, _) =>
            new ValueTask<IReadOnlyDictionary<string, object>>(new Dictionary<string, object> { ["bad"] = new Unserialisable(), ["good"] = "value" })));
        Assert.True(cache.TryGet<object>("good").HasValue);
        Assert.False(cache.TryGet<object>("bad").HasValue);
    }

    [Fact]
    public async Task Factory_ReturnsNull_IsToldWhatToReturn()
    {
        await using ResilientCache cache = TestCache.New(_time);
        InvalidOperationException failure = await Assert.ThrowsAsync<InvalidOperationException>(async () =>
            await cache.GetOrCreateManyAsync<int, string>(["a", "b"], 0, (_, _, _) => new ValueTask<IReadOnlyDictionary<string, string>>((IReadOnlyDictionary<string, string>)null!)));
        Assert.Contains("batch of 2 keys returned null", failure.Message, StringComparison.Ordinal);
    }

    private RequestScope Within(double seconds) => RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(seconds), TimeProvider = _time });

    /// <summary>A cache with expired copies that may still stand in.</summary>
    private async Task<ResilientCache> WithExpiredAsync(params string[] keys)
    {
        ResilientCache cache = TestCache.New(_time);
        foreach (string key in keys)
        {
            await cache.SetAsync(key, "old");
        }

        _time.Advance(TimeSpan.FromSeconds(61));
        return cache;
    }

    private Task<IReadOnlyDictionary<string, string>> ReadAsync(ResilientCache cache, params string[] keys) =>
        cache.GetOrCreateManyAsync<int, string>(keys, 0, (_, _, _) => new ValueTask<IReadOnlyDictionary<string, string>>(_source.Task), Timeouts).AsTask();

    private sealed class Unserialisable
    {
        public nint Pointer => throw new NotSupportedException("No such thing.");
    }

    /// <summary>Does something before it reads.</summary>
    private sealed class SlowSerializer : IHybridCacheSerializer<StringBuilder>
    {
        public Action BeforeRead { get; set; } = static () => { };

        public StringBuilder Deserialize(ReadOnlySequence<byte> source)
        {
            BeforeRead();
            return new StringBuilder(Encoding.UTF8.GetString(source));
        }

        public void Serialize(StringBuilder value, IBufferWriter<byte> target) => Encoding.UTF8.GetBytes(value.ToString(), target);
    }
}
