using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Polly;
using Polly.Registry;
using Polly.Retry;
using Resilience.Pools;
using Resilience.Settings;

namespace Resilience.Hosting.Tests.Pipelines;

/// <summary>Loads, creations and calls to the shared tier run in the pipelines that their settings name.</summary>
public sealed class PipelineTests
{
    [Fact]
    public async Task Cache_NamedPipeline_EachLoadRunsInIt()
    {
        await using KitHost kit = await KitHost.StartAsync(kit => kit.AddPipeline("database", Retry).AddCache("products"), null, ("Resilience:Caches:products:LoadPipeline", "database"));
        int loads = 0;

        Assert.Equal(2, await kit.Cache("products").GetOrCreateAsync("key", 0, (_, _) => Flaky(++loads), cancellationToken: TestContext.Current.CancellationToken));
        loads = 0;
        IReadOnlyDictionary<string, int> many = await kit.Cache("products").GetOrCreateManyAsync<int, int>(
            ["a", "b"],
            0,
            (keys, _, _) => ++loads == 1 ? throw new TimeoutException("once") : new ValueTask<IReadOnlyDictionary<string, int>>(keys.ToDictionary(key => key, _ => loads, StringComparer.Ordinal)),
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal([2, 2], many.Values);
    }

    [Fact]
    public async Task Cache_NoPipeline_FailsAtOnce()
    {
        await using KitHost kit = await KitHost.StartAsync(kit => kit.AddPipeline("database", Retry).AddCache("products"));
        int loads = 0;

        await Assert.ThrowsAsync<TimeoutException>(() => kit.Cache("products").GetOrCreateAsync("key", 0, (_, _) => Flaky(++loads), cancellationToken: TestContext.Current.CancellationToken).AsTask());
    }

    [Fact]
    public async Task Pool_NamedPipeline_EachCreationRunsInIt()
    {
        int created = 0;
        await using KitHost kit = await KitHost.StartAsync(
            kit => kit
                .AddPipeline("database", Retry)
                .AddPool("orders", _ => new ResourceFactory<object>(_ => ++created == 1 ? throw new TimeoutException("once") : new ValueTask<object>(new object()))),
            null,
            ("Resilience:Pools:orders:Pipeline", "database"));

        using PoolLease<object> lease = await kit.Pool<object>("orders").AcquireAsync(TestContext.Current.CancellationToken);

        Assert.Equal(2, created);
        Assert.Equal(0, kit.Pool<object>("orders").Snapshot().CreateFailures);
    }

    [Fact]
    public async Task SharedTier_NamedPipeline_ItsAttemptsAreOneCallToTheBreaker()
    {
        var store = new FailsFirst();
        await using KitHost kit = await KitHost.StartAsync(
            kit =>
            {
                kit.AddPipeline("shared", Retry).AddCache("products");
                kit.Services.AddResilientCache("products").UseDistributedCache(_ => store);
            },
            null,
            ("Resilience:Caches:products:Shared:Pipeline", "shared"));

        Assert.Equal(1, await kit.Cache("products").GetOrCreateAsync("key", 0, static (_, _) => ValueTask.FromResult(1), cancellationToken: TestContext.Current.CancellationToken));

        Assert.True(store.Failed > 0);
        Assert.Equal(0, kit.Cache("products").Snapshot().SharedFailures);
    }

    [Theory]
    [InlineData("Resilience:Caches:products:LoadPipeline")]
    [InlineData("Resilience:Caches:products:Shared:Pipeline")]
    [InlineData("Resilience:Pools:orders:Pipeline")]
    [InlineData("Resilience:Batches:audit:Pipeline")]
    public async Task Start_PipelineThatNobodyRegistered_FailsWithItsPathAmongAllErrors(string path)
    {
        KitHost kit = KitHost.Build(
            kit =>
            {
                kit.AddCache("products").AddPool("orders", _ => new ResourceFactory<object>(_ => new ValueTask<object>(new object())));
                kit.Services.AddBatchWriter<int>("audit", static _ => static (_, _) => ValueTask.CompletedTask);
            },
            null,
            (path, "databsae"),
            ("Resilience:Context:DefaultTimeout", "-1"));

        SettingsException exception = await Assert.ThrowsAsync<SettingsException>(kit.StartAsync);

        Assert.Contains(exception.Errors, error => error.Path == path && error.Value == "databsae" && error.Problem.Contains("AddPipeline", StringComparison.Ordinal));
        Assert.Contains(exception.Errors, error => error.Path == "Resilience:Context:DefaultTimeout");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Provider_OfTheApplication_IsUsedWhicheverCameFirst(bool comesFirst)
    {
        // As AddResiliencePipeline of Polly.Extensions, and with it Microsoft.Extensions.Resilience, registers its own.
        var registry = new ResiliencePipelineRegistry<string>();
        registry.TryAddBuilder("theirs", (builder, _) => Retry(builder));
        await using KitHost kit = await KitHost.StartAsync(
            kit =>
            {
                kit.Services.AddSingleton(registry);
                if (comesFirst)
                {
                    kit.Services.AddSingleton<ResiliencePipelineProvider<string>>(registry);
                }

                kit.AddPipeline("ours", Retry).AddPipeline("theirs", static _ => throw new InvalidOperationException("theirs wins")).AddCache("products");
            },
            null,
            ("Resilience:Caches:products:LoadPipeline", "theirs"),
            ("Resilience:Caches:Default:LoadPipeline", "ours"));
        int loads = 0;

        Assert.Same(registry, kit.Services.GetRequiredService<ResiliencePipelineProvider<string>>());
        Assert.Equal(2, await kit.Cache("products").GetOrCreateAsync("key", 0, (_, _) => Flaky(++loads), cancellationToken: TestContext.Current.CancellationToken));
        loads = 0;
        Assert.Equal(2, await kit.Cache("Default").GetOrCreateAsync("key", 0, (_, _) => Flaky(++loads), cancellationToken: TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Provider_NotRegistered_IsARegistryOfTheKit()
    {
        await using KitHost kit = await KitHost.StartAsync(kit => kit.AddPipeline("database", Retry));

        Assert.IsType<ResiliencePipelineRegistry<string>>(kit.Services.GetRequiredService<ResiliencePipelineProvider<string>>());
        Assert.NotNull(kit.Services.GetRequiredService<ResiliencePipelineProvider<string>>().GetPipeline("database"));
    }

    private static void Retry(ResiliencePipelineBuilder builder) =>
        builder.AddRetry(new RetryStrategyOptions { MaxRetryAttempts = 2, Delay = TimeSpan.Zero });

    private static ValueTask<int> Flaky(int load) => load == 1 ? throw new TimeoutException("once") : ValueTask.FromResult(load);

    private sealed class FailsFirst : IDistributedCache
    {
        private readonly MemoryDistributedCache _inner = new(Options.Create(new MemoryDistributedCacheOptions()));
        private readonly HashSet<string> _failed = new(StringComparer.Ordinal);

        public int Failed => _failed.Count;

        public byte[]? Get(string key) => throw new NotSupportedException();

        public Task<byte[]?> GetAsync(string key, CancellationToken token = default)
        {
            FailFirst($"get {key}");
            return _inner.GetAsync(key, token);
        }

        public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => throw new NotSupportedException();

        public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
        {
            FailFirst($"set {key}");
            return _inner.SetAsync(key, value, options, token);
        }

        public void Refresh(string key) => throw new NotSupportedException();

        public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask;

        public void Remove(string key) => throw new NotSupportedException();

        public Task RemoveAsync(string key, CancellationToken token = default) => _inner.RemoveAsync(key, token);

        private void FailFirst(string call)
        {
            lock (_failed)
            {
                if (_failed.Add(call))
                {
                    throw new InvalidOperationException("try again");
                }
            }
        }
    }
}
