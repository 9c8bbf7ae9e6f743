using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests.Wiring;

/// <summary>The caches and pools of a feature give way with it.</summary>
public sealed class FeatureWiringTests
{
    private static readonly Feature Reviews = Feature.Declare("wired-reviews", Priority.Low);
    private readonly ManualTimeProvider _time = new();

    [Theory]
    [InlineData(FeatureState.Degraded)]
    [InlineData(FeatureState.Off)]
    public async Task Cache_FeatureLowered_ServesTheStaleCopyAndLoadsBehindIt(FeatureState state)
    {
        await using KitHost kit = await StartAsync(("Resilience:Caches:reviews:Feature", "wired-reviews"), ("Resilience:Caches:reviews:Expiration", "00:01:00"));
        ResilientCache cache = kit.Cache("reviews");
        int loads = 0;
        TaskCompletionSource<string>? slow = null;
        Assert.Equal("first", await ReadAsync());
        _time.Advance(TimeSpan.FromMinutes(2));
        await kit.Degradation.OverrideAsync(Reviews, state, "the source is dear", "test", cancellationToken: TestContext.Current.CancellationToken);

        slow = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        for (int i = 0; i < 10; i++)
        {
            ValueTask<string> read = ReadAsync();
            Assert.True(read.IsCompleted, "the stale copy is the answer, without a wait");
            Assert.Equal("first", await read);
        }

        await Eventually.TrueAsync(() => Volatile.Read(ref loads) == 2, "one load runs in the background");
        slow.SetResult("second");
        await Eventually.TrueAsync(() => cache.TryGet<string>("key").Value == "second", "what it brought is kept");
        Assert.Equal("second", await ReadAsync());
        Assert.Equal(2, loads);
        Assert.True(cache.Snapshot().StaleServed >= 10);

        ValueTask<string> ReadAsync() => cache.GetOrCreateAsync("key", 0, async (_, _) =>
        {
            Interlocked.Increment(ref loads);
            return slow is null ? "first" : await slow.Task;
        }, cancellationToken: TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Cache_FeatureNormal_WaitsForTheLoad()
    {
        await using KitHost kit = await StartAsync(("Resilience:Caches:reviews:Feature", "wired-reviews"), ("Resilience:Caches:reviews:Expiration", "00:01:00"));
        ResilientCache cache = kit.Cache("reviews");
        await cache.GetOrCreateAsync("key", 0, static (_, _) => ValueTask.FromResult("first"), cancellationToken: TestContext.Current.CancellationToken);
        _time.Advance(TimeSpan.FromMinutes(2));
        await kit.Degradation.OverrideAsync(Reviews, FeatureState.Off, "for a moment", "test", TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
        Assert.True(cache.ServesStaleFirst);
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.False(cache.ServesStaleFirst);

        var slow = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        ValueTask<string> read = cache.GetOrCreateAsync("key", slow, static async (slow, _) => await slow.Task, cancellationToken: TestContext.Current.CancellationToken);
        Assert.False(read.IsCompleted);
        slow.SetResult("second");
        Assert.Equal("second", await read);
    }

    [Fact]
    public async Task Cache_RemovedWhileFeatureIsOff_NeverServesWhatWasRemoved()
    {
        await using KitHost kit = await StartAsync(("Resilience:Caches:reviews:Feature", "wired-reviews"), ("Resilience:Caches:reviews:Expiration", "00:01:00"), ("Resilience:Degrade:Features:wired-reviews", "Off"));
        ResilientCache cache = kit.Cache("reviews");
        Assert.True(cache.ServesStaleFirst);
        await cache.SetAsync("key", "old", tags: ["vendor"], cancellationToken: TestContext.Current.CancellationToken);
        _time.Advance(TimeSpan.FromMinutes(2));
        await cache.RemoveByTagAsync("vendor", TestContext.Current.CancellationToken);

        Assert.Equal("new", await cache.GetOrCreateAsync("key", 0, static (_, _) => ValueTask.FromResult("new"), cancellationToken: TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Settings_FeatureNamedLive_TakesEffectWithoutARestart()
    {
        await using KitHost kit = await StartAsync(("Resilience:Caches:reviews:Expiration", "00:01:00"), ("Resilience:Degrade:Features:wired-reviews", "Off"));
        Assert.False(kit.Cache("reviews").ServesStaleFirst);
        Assert.False(kit.Pool<object>("reviews").YieldsToPriority);

        kit.Set("Resilience:Caches:reviews:Feature", "wired-reviews");
        kit.Set("Resilience:Pools:reviews:Feature", "wired-reviews");
        await UntilAsync(() => kit.Cache("reviews").ServesStaleFirst && kit.Pool<object>("reviews").YieldsToPriority);

        kit.Set("Resilience:Degrade:Features:wired-reviews", "On");
        await UntilAsync(() => !kit.Cache("reviews").ServesStaleFirst && !kit.Pool<object>("reviews").YieldsToPriority);
    }

    [Theory]
    [InlineData(FeatureState.Normal, 0, 7)]
    [InlineData(FeatureState.Degraded, 12, 12)]
    public async Task Pool_FeatureLowered_ServesStrictlyByPriority(FeatureState state, int fewest, int most)
    {
        await using KitHost kit = await StartAsync(("Resilience:Pools:reviews:Feature", "wired-reviews"), ("Resilience:Pools:reviews:MaxSize", "1"), ("Resilience:Pools:reviews:AcquireTimeout", "Infinite"));
        await kit.Degradation.OverrideAsync(Reviews, state, "a test", "test", cancellationToken: TestContext.Current.CancellationToken);
        ResourcePool<object> pool = kit.Pool<object>("reviews");
        PoolLease<object> held = await pool.AcquireAsync(TestContext.Current.CancellationToken);
        List<(Priority Priority, Task<PoolLease<object>> Lease)> waiting = [];
        foreach (Priority priority in Enumerable.Repeat(Priority.Low, 2).Concat(Enumerable.Repeat(Priority.Critical, 12)))
        {
            waiting.Add((priority, pool.AcquireAsync(new PoolRequest { Priority = priority }, TestContext.Current.CancellationToken).AsTask()));
            _time.Advance(TimeSpan.FromMilliseconds(1)); // who waits longest is told by the clock
        }

        var served = new List<Priority>();
        while (waiting.Count > 0)
        {
            await held.DisposeAsync();
            Task<PoolLease<object>> next = await Task.WhenAny(waiting.Select(wait => wait.Lease));
            held = await next;
            int at = waiting.FindIndex(wait => wait.Lease == next);
            served.Add(waiting[at].Priority);
            waiting.RemoveAt(at);
        }

        await held.DisposeAsync();
        Assert.InRange(served.IndexOf(Priority.Low), fewest, most);
    }

    [Fact]
    public async Task Pool_PrioritiesOff_CountWhileItsFeatureIsLowered()
    {
        await using KitHost kit = await StartAsync(
            ("Resilience:Pools:reviews:Feature", "wired-reviews"),
            ("Resilience:Pools:reviews:Priorities", "false"),
            ("Resilience:Pools:reviews:MaxSize", "1"),
            ("Resilience:Degrade:Features:wired-reviews", "Degraded"));
        ResourcePool<object> pool = kit.Pool<object>("reviews");
        PoolLease<object> held = await pool.AcquireAsync(TestContext.Current.CancellationToken);
        Task<PoolLease<object>> low = pool.AcquireAsync(new PoolRequest { Priority = Priority.Low }, TestContext.Current.CancellationToken).AsTask();
        Task<PoolLease<object>> critical = pool.AcquireAsync(new PoolRequest { Priority = Priority.Critical }, TestContext.Current.CancellationToken).AsTask();

        await held.DisposeAsync();

        Assert.Same(critical, await Task.WhenAny(low, critical));
        await (await critical).DisposeAsync();
        await (await low).DisposeAsync();
    }

    [Fact]
    public async Task Settings_FeatureThatNobodyDeclared_IsWarnedOfOnceWithTheNearestName()
    {
        await using KitHost kit = await StartAsync(("Resilience:Caches:reviews:Feature", "wired-reveiws"));
        kit.Set("Resilience:Caches:reviews:Jitter", "0.2");

        LogEntry warning = Assert.Single(kit.Log.WithId(6000));
        Assert.Contains("Resilience:Caches:reviews:Feature names the feature 'wired-reveiws'", warning.Message, StringComparison.Ordinal);
        Assert.Contains("did you mean 'wired-reviews'?", warning.Message, StringComparison.Ordinal);
    }

    private static void AddReviews(IResilienceKitBuilder kit) =>
        kit.AddCache("reviews").AddFeature(Reviews).AddPool("reviews", _ => new ResourceFactory<object>(_ => new ValueTask<object>(new object())));

    private Task<KitHost> StartAsync(params (string, string)[] settings) => KitHost.StartAsync(AddReviews, _time, settings);

    /// <summary>Settings are reloaded by a timer of the host's clock.</summary>
    private Task UntilAsync(Func<bool> condition) => _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), condition, "the changed settings are in force");
}
