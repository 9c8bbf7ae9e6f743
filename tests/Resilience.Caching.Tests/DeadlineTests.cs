using Resilience.Caching.Flights;
using Resilience.Caching.Tests.Shared;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

/// <summary>The deadline of the caller's request bounds the wait, not the load of others.</summary>
public sealed class DeadlineTests
{
    private readonly ManualTimeProvider _time = new();

    private RequestScope Within(double seconds) => RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(seconds), TimeProvider = _time });

    [Fact]
    public async Task Deadline_PassesWhileALoadRuns_EndsTheWaitAndCancelsTheLoadOfNobodyElse()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        async ValueTask<string> Load(CancellationToken token)
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
        }

        Task<string> read;
        using (Within(2))
        {
            read = cache.GetAsync("key", Load).AsTask();
            _time.Advance(TimeSpan.FromSeconds(2));
            await Assert.ThrowsAsync<DeadlineExceededException>(() => read.Soon());
        }

        await cancelled.Task.Soon();
        Assert.Equal("free", await cache.GetAsync("key", "free").Soon());
    }

    [Fact]
    public async Task Deadline_OfTheLeader_LeavesTheLoadToThoseWhoHaveTime()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> leader;
        using (Within(2))
        {
            leader = cache.GetAsync("key", _ => new ValueTask<string>(gate.Task)).AsTask();
        }

        Task<string> joiner;
        using (Within(20))
        {
            joiner = cache.GetAsync<string>("key", _ => throw new InvalidOperationException("joins")).AsTask();
        }

        _time.Advance(TimeSpan.FromSeconds(2));
        await Assert.ThrowsAsync<DeadlineExceededException>(() => leader.Soon());
        gate.SetResult("value");
        Assert.Equal("value", await joiner.Soon());
    }

    [Fact]
    public async Task Deadline_StaleCopyAtHand_IsTheAnswer()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        using (Within(2))
        {
            Task<string> read = cache.GetAsync("key", _ => new ValueTask<string>(gate.Task)).AsTask();
            _time.Advance(TimeSpan.FromSeconds(2));
            Assert.Equal("old", await read.Soon());
        }

        Assert.Equal(1, cache.Snapshot().StaleServed);
    }

    [Fact]
    public async Task Deadline_AlreadyPassed_TheSourceIsNotEvenAsked()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetAsync("there", "value");
        using (Within(1))
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal("value", await cache.GetCachedAsync("there"));
            await Assert.ThrowsAsync<DeadlineExceededException>(async () => await cache.GetAsync<string>("key", _ => throw new InvalidOperationException("asked")));
        }
    }

    [Fact]
    public async Task DeadlineFailure_OfTheLeadersFactory_IsNoAnswerForAJoinerWithTime()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.FailureExpiration = TimeSpan.FromMinutes(1));
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> leader = cache.GetAsync<string>("key", async _ =>
        {
            await gate.Task;
            throw new DeadlineExceededException("The pool had no time left of the leader's request.");
        }).AsTask();
        Task<string> joiner = cache.GetAsync("key", _ => new ValueTask<string>("by the joiner")).AsTask();
        gate.SetResult();
        await Assert.ThrowsAsync<DeadlineExceededException>(() => leader.Soon());
        Assert.Equal("by the joiner", await joiner.Soon());
    }

    [Fact]
    public async Task Deadline_PassesWhileABatchLoads_EndsItsWait()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var gate = new TaskCompletionSource<IReadOnlyDictionary<string, string>>(TaskCreationOptions.RunContinuationsAsynchronously);
        using (Within(2))
        {
            Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["a", "b"], 0, (_, _, _) => new ValueTask<IReadOnlyDictionary<string, string>>(gate.Task)).AsTask();
            _time.Advance(TimeSpan.FromSeconds(2));
            await Assert.ThrowsAsync<DeadlineExceededException>(() => read.Soon());
        }

        gate.SetResult(new Dictionary<string, string>());
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the flights' end");
    }

    [Fact]
    public async Task Deadline_PassesWhileALookWaitsForTheSharedTier_WhatIsAtHandIsTheAnswer()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(_time, options => options.Shared.SoftTimeout = options.Shared.HardTimeout = TimeSpan.FromSeconds(60), tier);
        await cache.SetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        var hung = new TaskCompletionSource();
        tier.Before = _ => hung.Task;
        using (Within(2))
        {
            Task<CacheResult<string>> stale = cache.TryGetAsync<string>("key").AsTask();
            Task<CacheResult<string>> nothing = cache.TryGetAsync<string>("nothing").AsTask();
            Task<IReadOnlyDictionary<string, string>> many = cache.TryGetManyAsync<string>(["key", "nothing"]).AsTask();
            Assert.False(stale.IsCompleted || nothing.IsCompleted || many.IsCompleted);
            _time.Advance(TimeSpan.FromSeconds(2));
            Assert.Equal(("old", true), ((await stale.Soon()).Value, (await stale).IsStale));
            Assert.False((await nothing.Soon()).HasValue);
            Assert.Empty(await many.Soon());

            // And now that it has passed, nobody is asked at all.
            int calls = tier.Calls.Count;
            Assert.True((await cache.TryGetAsync<string>("key").Soon()).IsStale);
            Assert.Empty(await cache.TryGetManyAsync<string>(["key"]).Soon());
            Assert.Equal(calls, tier.Calls.Count);
        }

        hung.SetResult();
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the flights' end");
    }

    [Fact]
    public async Task Deadline_PassesInTheMomentInWhichAWriteEnds_WhatItEndedWithCounts()
    {
        var time = new MeetingTime(_time);
        await using ResilientCache cache = TestCache.New(time);
        using RequestScope scope = Within(2);
        var work = new TaskCompletionSource();
        time.AtNextTimer = work.SetResult;
        await AnswerWait.WithinAsync(work.Task, cache.Core, scope).Soon();

        work = new TaskCompletionSource();
        time.AtNextTimer = () => work.SetException(new InvalidDataException());
        await Assert.ThrowsAsync<InvalidDataException>(() => AnswerWait.WithinAsync(work.Task, cache.Core, scope).Soon());

        time.AtNextTimer = static () => { };
        await Assert.ThrowsAsync<DeadlineExceededException>(() => AnswerWait.WithinAsync(new TaskCompletionSource().Task, cache.Core, scope).Soon());
    }

    /// <summary>A clock whose next timer fires as it is made, and something happens right after.</summary>
    private sealed class MeetingTime(TimeProvider inner) : TimeProvider
    {
        public Action? AtNextTimer { get; set; }

        public override long TimestampFrequency => inner.TimestampFrequency;

        public override long GetTimestamp() => inner.GetTimestamp();

        public override DateTimeOffset GetUtcNow() => inner.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            ITimer timer = inner.CreateTimer(callback, state, dueTime, period);
            if (AtNextTimer is { } happens)
            {
                AtNextTimer = null;
                callback(state);
                happens();
            }

            return timer;
        }
    }
}
