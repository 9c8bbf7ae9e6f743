using System.Diagnostics;
using System.Threading.RateLimiting;
using Resilience.Redis.RateLimiting;
using Resilience.Redis.Tests.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.RateLimiting;

/// <summary>The limit over a real Redis.</summary>
public sealed class RedisPermitLedgerTests(SharedRedis redis)
{
    private readonly string _prefix = $"{Guid.NewGuid():N}:";

    [Fact]
    public async Task Take_TheBurst_ThenNothingUntilItIsEarned()
    {
        await using RedisConnection connection = await ConnectAsync();
        var one = new RedisPermitLedger(connection, "mail");
        var two = new RedisPermitLedger(connection, "mail");
        PermitGrant first = await one.TakeAsync(0.01, 10, 1, 6);
        Assert.Equal((6, 1), (first.Permits, first.Nodes));
        PermitGrant rest = await two.TakeAsync(0.01, 10, 1, 6);
        Assert.Equal((4, 2), (rest.Permits, rest.Nodes));
        Assert.InRange(rest.Wait, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(100));
        PermitGrant none = await one.TakeAsync(0.01, 10, 2, 6);
        Assert.Equal(0, none.Permits);
        Assert.InRange(none.Wait, TimeSpan.FromSeconds(100), TimeSpan.FromSeconds(200));
    }

    [Fact]
    public async Task Take_LessThanTheLeast_TakesNothing()
    {
        await using RedisConnection connection = await ConnectAsync();
        var ledger = new RedisPermitLedger(connection, "mail");
        await ledger.TakeAsync(0.01, 10, 1, 7);
        Assert.Equal(0, (await ledger.TakeAsync(0.01, 10, 4, 10)).Permits);
        Assert.Equal(3, (await ledger.TakeAsync(0.01, 10, 3, 10)).Permits);
    }

    [Fact]
    public async Task Take_RateIsRaised_HoldsNobodyToTheOldOne()
    {
        await using RedisConnection connection = await ConnectAsync();
        var ledger = new RedisPermitLedger(connection, "mail");
        await ledger.TakeAsync(0.001, 10, 1, 10); // the bucket is empty for hours
        PermitGrant grant = await ledger.TakeAsync(1_000, 10, 10, 10);
        Assert.True(grant.Wait <= TimeSpan.FromMilliseconds(10) || grant.Permits == 10, $"{grant}");
    }

    [Theory]
    [InlineData(1_000)]
    [InlineData(0)]
    public async Task Fleet_ThreeNodesUnderLoad_GetsItsRateAndNoMore(int maxLease)
    {
        RedisServer server = await redis.GetAsync();
        var options = new RedisRateLimiterOptions { PermitsPerSecond = 400, Burst = 60, MaxLease = maxLease, Timeout = TimeSpan.FromSeconds(10) };
        await using var connections = new Disposables<RedisConnection>(3, _ => new RedisConnection(new RedisOptions { Configuration = server.Endpoint, KeyPrefix = _prefix }));
        await using var nodes = new Disposables<RedisRateLimiter>(3, i => new RedisRateLimiter(connections[i], "law", options));
        for (int i = 0; i < 3; i++)
        {
            Assert.NotNull(await connections[i].TryPingAsync(Eventually.Patience));
        }

        // That the fleet gets no more than its rate holds always; that it gets it can be seen only while the machine runs: one window in which it did is enough.
        long patience = Stopwatch.GetTimestamp();
        (long Granted, long Refused, double Seconds) window;
        do
        {
            window = await LoadAsync(nodes, maxLease);
            double most = (options.PermitsPerSecond * window.Seconds) + (options.Burst * (maxLease == 0 ? 1 : 1.5));
            TestContext.Current.TestOutputHelper?.WriteLine($"{window.Granted} granted and {window.Refused} refused in {window.Seconds:0.00} s, at most {most:0}; {Enumerable.Range(0, 3).Sum(i => nodes[i].Count().RoundTrips)} round trips");
            Assert.All(Enumerable.Range(0, 3), i => Assert.Equal(0, nodes[i].Count().Failures));
            Assert.True(window.Granted <= most, $"{window.Granted} permits in {window.Seconds:0.00} s, the fleet may have {most:0}.");
        }
        while ((window.Refused == 0 || window.Granted < options.PermitsPerSecond * window.Seconds / 2) && Stopwatch.GetElapsedTime(patience) < TimeSpan.FromMinutes(1));

        Assert.True(window.Refused > 0, "The limit was never reached, so nothing was proved.");
        Assert.True(window.Granted >= options.PermitsPerSecond * window.Seconds / 2, $"Only {window.Granted} permits in {window.Seconds:0.00} s of {options.PermitsPerSecond} a second: the limit is not used.");
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("stall")]
    [InlineData("kill")]
    public async Task Fleet_RedisGoesAndComesBack_NobodyWaitsNothingFailsTheShareHolds(string fault)
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        var options = new RedisRateLimiterOptions { PermitsPerSecond = 100, Burst = 20, ExpectedNodes = 4, RetryInterval = TimeSpan.FromMilliseconds(100) };
        await using var connection = new RedisConnection(new RedisOptions { Configuration = proxy.Endpoint, ConnectTimeout = TimeSpan.FromMilliseconds(500), ReconnectAfter = TimeSpan.FromSeconds(2) });
        await using var limiter = new RedisRateLimiter(connection, "law", options);
        await UntilAsync(limiter, isAway: false);
        switch (fault)
        {
            case "cut":
                proxy.RefusesNew = true;
                proxy.Cut();
                break;
            case "stall":
                proxy.ToClient.Stalled = true;
                break;
            default:
                await server.KillAsync();
                break;
        }

        await UntilAsync(limiter, isAway: true);
        LimiterCounts before = limiter.Count();
        long began = Stopwatch.GetTimestamp();
        while (limiter.Count().RefusedByShare < before.RefusedByShare + 200 || Stopwatch.GetElapsedTime(began) < TimeSpan.FromMilliseconds(500))
        {
            ValueTask<RateLimitLease> asking = limiter.AcquireAsync();
            if (limiter.IsAway)
            {
                Assert.True(asking.IsCompleted, "A caller waits for a Redis that is known to be away.");
            }

            await asking;
            await Task.Yield();
        }

        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        double most = (options.PermitsPerSecond * seconds / 4) + (options.Burst / 4) + 1;
        Assert.InRange(limiter.Count().GrantedByShare - before.GrantedByShare, 1, most);
        switch (fault)
        {
            case "cut":
                proxy.RefusesNew = false;
                proxy.Heal();
                break;
            case "stall":
                proxy.ToClient.Stalled = false;
                break;
            default:
                await server.StartAsync();
                break;
        }

        await UntilAsync(limiter, isAway: false);
        long byFleet = limiter.Count().Granted;
        await Eventually.TrueAsync(async () => (await limiter.AcquireAsync()).IsAcquired && limiter.Count().Granted > byFleet, "the fleet grants again");
    }

    private async Task<RedisConnection> ConnectAsync() => new(new RedisOptions { Configuration = (await redis.GetAsync()).Endpoint, KeyPrefix = _prefix });

    private static Task UntilAsync(RedisRateLimiter limiter, bool isAway) =>
        Eventually.TrueAsync(
            async () =>
            {
                await limiter.AcquireAsync();
                return limiter.IsAway == isAway && limiter.Count().RoundTrips > limiter.Count().Failures;
            },
            isAway ? "Redis is known to be away" : "Redis answers");

    private static async Task<(long Granted, long Refused, double Seconds)> LoadAsync(Disposables<RedisRateLimiter> nodes, int maxLease)
    {
        long granted = 0;
        long refused = 0;
        long began = Stopwatch.GetTimestamp();
        await new StressRunner { Workers = 6 }.RunAsync(async worker =>
        {
            int permits = maxLease == 0 ? 1 : worker.Random.Next(1, 4);
            using RateLimitLease lease = await nodes[worker.Index % 3].AcquireAsync(permits);
            if (lease.IsAcquired)
            {
                Interlocked.Add(ref granted, permits);
            }
            else
            {
                Interlocked.Add(ref refused, permits);
                await Task.Delay(worker.Random.Next(1, 4), CancellationToken.None);
            }
        });
        return (granted, refused, Stopwatch.GetElapsedTime(began).TotalSeconds);
    }

    private sealed class Disposables<T>(int count, Func<int, T> make) : IAsyncDisposable
        where T : IAsyncDisposable
    {
        private readonly T[] _all = [.. Enumerable.Range(0, count).Select(make)];

        public T this[int index] => _all[index];

        public async ValueTask DisposeAsync()
        {
            foreach (T one in _all)
            {
                await one.DisposeAsync();
            }
        }
    }
}
