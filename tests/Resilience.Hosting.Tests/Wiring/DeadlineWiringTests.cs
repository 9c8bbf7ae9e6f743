using System.Net;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Polly;
using Polly.Retry;
using Resilience.Caching;
using Resilience.Context;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests.Wiring;

/// <summary>Nothing that a request waits for lasts longer than the request.</summary>
public sealed class DeadlineWiringTests
{
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(2);
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task CacheLoad_SourceHangs_TheCallerLeavesAtItsDeadlineAndTheLoadEndsWithIt()
    {
        await using KitHost kit = await StartAsync();
        using RequestScope scope = Begin();
        var cancelled = new TaskCompletionSource();
        Task<int> read = kit.Cache("products").GetOrCreateAsync("key", cancelled, static (cancelled, token) => HangAsync(cancelled, token), cancellationToken: CancellationToken.None).AsTask();

        DeadlineExceededException exception = await PassAsync<DeadlineExceededException>(read);

        Assert.Contains("Cache 'products'", exception.Message, StringComparison.Ordinal);
        await cancelled.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task CacheLoad_LeaderHasLessTime_TheLoadGoesOnForWhoHasMore()
    {
        await using KitHost kit = await StartAsync();
        var answer = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<int> leader = InScopeAsync(Budget, ReadAsync);
        Task<int> joiner = InScopeAsync(Budget * 10, ReadAsync);

        await PassAsync<DeadlineExceededException>(leader);
        Assert.False(joiner.IsCompleted);
        answer.SetResult(7);
        Assert.Equal(7, await joiner);
        Assert.Equal(1, kit.Cache("products").Snapshot().SourceLoads);

        Task<int> ReadAsync() => kit.Cache("products").GetOrCreateAsync("key", answer, static async (answer, token) => await answer.Task.WaitAsync(token), cancellationToken: CancellationToken.None).AsTask();
    }

    [Fact]
    public async Task CacheLoad_LeadersTimeRunsOutInside_TheOthersTryWithTheirs()
    {
        await using KitHost kit = await StartAsync();
        PoolLease<object> held = await kit.Pool<object>("orders").AcquireAsync(TestContext.Current.CancellationToken);
        Task<int> leader = InScopeAsync(Budget, ReadAsync);
        Task<int> joiner = InScopeAsync(Budget * 10, ReadAsync);

        await _time.WaitForTimersAsync();
        _time.Advance(Budget + TimeSpan.FromMilliseconds(1));
        await Assert.ThrowsAnyAsync<Exception>(() => leader);
        await held.DisposeAsync();

        Assert.Equal(1, await joiner.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));

        // The wait for a connection inside the load is bounded by the leader's deadline, and ends with it.
        Task<int> ReadAsync() => kit.Cache("products").GetOrCreateAsync(
            "key",
            kit.Pool<object>("orders"),
            static async (pool, token) =>
            {
                await using PoolLease<object> lease = await pool.AcquireAsync(token);
                return 1;
            },
            cancellationToken: CancellationToken.None).AsTask();
    }

    [Fact]
    public async Task CacheBatch_SourceHangs_TheCallerLeavesAtItsDeadline()
    {
        await using KitHost kit = await StartAsync();
        using RequestScope scope = Begin();
        Task read = kit.Cache("products").GetOrCreateManyAsync<int, int>(
            ["a", "b"],
            0,
            static async (_, _, token) =>
            {
                await Task.Delay(Timeout.Infinite, token);
                return new Dictionary<string, int>(StringComparer.Ordinal);
            },
            cancellationToken: CancellationToken.None).AsTask();

        await PassAsync<DeadlineExceededException>(read);
    }

    [Theory]
    [InlineData("read")]
    [InlineData("set")]
    [InlineData("remove")]
    [InlineData("tag")]
    public async Task SharedTier_Hangs_TheCallerLeavesAtItsDeadline(string what)
    {
        await using KitHost kit = await StartAsync(static services => services.AddResilientCache("products").UseDistributedCache(static _ => new HangingStore()));
        ResilientCache cache = kit.Cache("products");
        using RequestScope scope = Begin();
        Task work = what switch
        {
            "read" => cache.GetOrCreateAsync("key", 0, static (_, _) => ValueTask.FromResult(1), cancellationToken: CancellationToken.None).AsTask(),
            "set" => cache.SetAsync("key", 1, cancellationToken: CancellationToken.None).AsTask(),
            "remove" => cache.RemoveAsync("key", CancellationToken.None).AsTask(),
            _ => cache.RemoveByTagAsync("tag", CancellationToken.None).AsTask(),
        };

        await PassAsync<DeadlineExceededException>(work);
    }

    [Fact]
    public async Task PoolWait_NothingComesFree_EndsAtTheDeadline()
    {
        await using KitHost kit = await StartAsync();
        await using PoolLease<object> held = await kit.Pool<object>("orders").AcquireAsync(TestContext.Current.CancellationToken);
        using RequestScope scope = Begin();

        PoolExhaustedException exception = await PassAsync<PoolExhaustedException>(kit.Pool<object>("orders").AcquireAsync(CancellationToken.None).AsTask());

        Assert.Equal(PoolWaitLimit.RequestDeadline, exception.Limit);
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("application/grpc", "grpc-timeout")]
    [InlineData("application/json", "X-Request-Timeout-Ms")]
    public async Task HttpCall_ServerHangs_EndsAtTheDeadlineAndTellsOnlyWhomItShould(string? told, string? header)
    {
        var server = new HangingServer();
        await using KitHost kit = await StartAsync(services =>
        {
            IHttpClientBuilder client = services.AddHttpClient("inventory").ConfigurePrimaryHttpMessageHandler(() => server);
            if (told is not null)
            {
                client.AddRequestScopePropagation();
            }
        });
        using HttpClient client = kit.Services.GetRequiredService<IHttpClientFactory>().CreateClient("inventory");
        using RequestScope scope = Begin();
        using var request = new HttpRequestMessage(HttpMethod.Post, "http://inventory/") { Content = new StringContent("{}") };
        request.Content.Headers.ContentType = new(told ?? "application/json");

        await PassAsync<DeadlineExceededException>(client.SendAsync(request, CancellationToken.None));

        Assert.Equal(1, server.Calls);
        Assert.Equal(header is null ? [] : [header], server.Seen.Where(name => name is "grpc-timeout" or "X-Request-Timeout-Ms"));
        Assert.True(told is not null == server.Seen.Contains(ScopeHeaders.RequestId, StringComparer.OrdinalIgnoreCase), string.Join(", ", server.Seen));
        Assert.Equal(told is not null, server.Seen.Length > 0);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.GetAsync(new Uri("http://inventory/"), CancellationToken.None));
        Assert.Equal(1, server.Calls);
    }

    [Fact]
    public async Task Retries_OfANamedPipeline_StopAtTheDeadline()
    {
        int attempts = 0;
        await using KitHost kit = await KitHost.StartAsync(
            kit => kit
                .AddCache("products")
                .AddPipeline("stubborn", static builder => builder.AddRetry(new RetryStrategyOptions { MaxRetryAttempts = int.MaxValue, Delay = TimeSpan.FromMilliseconds(500) })),
            _time,
            ("Resilience:Caches:products:LoadPipeline", "stubborn"));
        Task<int> read = InScopeAsync(Budget, () => kit.Cache("products").GetOrCreateAsync<int, int>("key", 0, (_, _) => throw new TimeoutException($"attempt {++attempts}"), cancellationToken: CancellationToken.None).AsTask());

        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => read.IsCompleted, "the end of the retries");
        await Assert.ThrowsAsync<DeadlineExceededException>(() => read);
        _time.Advance(TimeSpan.FromMinutes(1)); // an attempt may have been on its way when the load was left, and no other after it
        await Task.Delay(50, TestContext.Current.CancellationToken);
        int after = attempts;
        Assert.InRange(after, 1, 6);
        _time.Advance(TimeSpan.FromMinutes(1));
        await Task.Delay(50, TestContext.Current.CancellationToken);
        Assert.Equal(after, attempts);
    }

    [Fact]
    public async Task BackgroundWork_OfARequest_HasTheDeadlineThatItWasDetachedWith()
    {
        await using KitHost kit = await StartAsync(static services => services.AddBackgroundWorkQueue());
        BackgroundWorkQueue queue = kit.Services.GetRequiredService<BackgroundWorkQueue>();
        var ended = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
        using (RequestScope scope = Begin())
        {
            await queue.EnqueueAsync(scope.Detach(TimeSpan.FromSeconds(30)), ended, static async (_, ended, token) =>
            {
                TimeSpan had = RequestScope.Current!.Deadline.Remaining;
                try
                {
                    await Task.Delay(Timeout.Infinite, token);
                }
                catch (OperationCanceledException)
                {
                    ended.SetResult(had);
                }
            }, TestContext.Current.CancellationToken);
        }

        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => ended.Task.IsCompleted, "the work's end");
        Assert.InRange(await ended.Task, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(30));
    }

    private static async ValueTask<int> HangAsync(TaskCompletionSource cancelled, CancellationToken token)
    {
        try
        {
            await Task.Delay(Timeout.Infinite, token);
            return 0;
        }
        finally
        {
            cancelled.TrySetResult();
        }
    }

    private Task<KitHost> StartAsync(Action<IServiceCollection>? add = null) => KitHost.StartAsync(
        kit =>
        {
            kit.AddCache("products").AddPool("orders", _ => new ResourceFactory<object>(_ => new ValueTask<object>(new object())));
            add?.Invoke(kit.Services);
        },
        _time,
        ("Resilience:Pools:orders:MaxSize", "1"),
        ("Resilience:Pools:orders:AcquireTimeout", "00:10:00"),
        ("Resilience:Pools:orders:LeakThreshold", "Infinite"),
        ("Resilience:Caches:Default:LoadTimeout", "00:10:00"),
        ("Resilience:Caches:Default:Shared:HardTimeout", "00:01:00"),
        ("Resilience:Caches:Default:Shared:TombstoneLifetime", "01:00:00"));

    private RequestScope Begin() => RequestScope.Begin(new ScopeOptions { Timeout = Budget, TimeProvider = _time });

    private async Task<T> InScopeAsync<T>(TimeSpan timeout, Func<Task<T>> work)
    {
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = timeout, TimeProvider = _time });
        return await work();
    }

    /// <summary>Lets the deadline come, and not before the work waits for it.</summary>
    private async Task<TException> PassAsync<TException>(Task work)
        where TException : Exception
    {
        await _time.WaitForTimersAsync();
        Assert.False(work.IsCompleted);
        _time.Advance(Budget - TimeSpan.FromMilliseconds(1));
        await Task.Delay(20, TestContext.Current.CancellationToken);
        Assert.False(work.IsCompleted, "it ended before its deadline");
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(1), () => work.IsCompleted, "the end at the deadline");
        return await Assert.ThrowsAnyAsync<TException>(() => work);
    }

    private sealed class HangingStore : IDistributedCache
    {
        public byte[]? Get(string key) => throw new NotSupportedException();

        public Task<byte[]?> GetAsync(string key, CancellationToken token = default) => new TaskCompletionSource<byte[]?>().Task;

        public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => throw new NotSupportedException();

        public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default) => new TaskCompletionSource().Task;

        public void Refresh(string key) => throw new NotSupportedException();

        public Task RefreshAsync(string key, CancellationToken token = default) => new TaskCompletionSource().Task;

        public void Remove(string key) => throw new NotSupportedException();

        public Task RemoveAsync(string key, CancellationToken token = default) => new TaskCompletionSource().Task;
    }

    private sealed class HangingServer : HttpMessageHandler
    {
        private int _calls;

        public int Calls => _calls;

        public string[] Seen { get; private set; } = [];

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _calls);
            Seen = [.. request.Headers.Select(header => header.Key)];
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return new HttpResponseMessage(HttpStatusCode.OK);
        }
    }
}
