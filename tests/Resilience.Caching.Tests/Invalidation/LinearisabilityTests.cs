using System.Collections.Concurrent;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Invalidation;

/// <summary>
/// After Remove, RemoveByTag, Clear or Set has returned no later call on the node sees an older value, whatever was in flight.
/// </summary>
public sealed class LinearisabilityTests
{
    private readonly ManualTimeProvider _time = new();

    /// <summary>
    /// A source whose value only grows, changed and then invalidated by some, read by others. A reader notes what had been invalidated
    /// before it asked; what it gets must not be older.
    /// </summary>
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, true)]
    [InlineData(true, false)]
    public async Task Stress_RandomReadsAndInvalidations_NothingOlderThanACompletedInvalidation(bool isShared, bool isAtomic)
    {
        const int Keys = 4;
        FakeSharedTier? tier = isShared ? new FakeSharedTier { IsAtomic = isAtomic, Before = static _ => Yield(), After = static _ => Yield() } : null;
        await using ResilientCache cache = TestCache.New(
            configure: options =>
            {
                options.Expiration = TimeSpan.FromMilliseconds(20);
                options.StaleFor = TimeSpan.FromHours(1);
                options.StaleThrottle = TimeSpan.FromMilliseconds(5);
                options.EagerRefresh = 0.5;
                options.Jitter = 0.2;
                options.Shared.AwaitWrites = false;
            },
            shared: tier,
            parts: parts => parts with { Random = Random.Shared.NextDouble });
        long[] source = new long[Keys];
        long[] invalidated = new long[Keys];
        var violations = new ConcurrentQueue<string>();

        async ValueTask<long> ReadAsync(int key, StressWorker worker, bool fails)
        {
            string name = $"key{key}";
            string[] tags = [$"tag{key % 2}"];
            if (worker.Random.Next(8) == 0)
            {
                IReadOnlyDictionary<string, long> many = await cache.GetOrCreateManyAsync<int, long>([name], key, async (_, at, _) =>
                {
                    long read = Volatile.Read(ref source[at]);
                    await Yield();
                    return new Dictionary<string, long> { [name] = read };
                }, tags: tags);
                return many[name];
            }

            return await cache.GetAsync(name, async _ =>
            {
                long read = Volatile.Read(ref source[key]);
                if (read % 3 != 0)
                {
                    await Yield();
                }

                return fails ? throw new InvalidDataException() : read;
            }, tags: tags);
        }

        await new StressRunner { Workers = 8 }.RunAsync(async worker =>
        {
            int key = worker.Random.Next(Keys);
            int what = worker.Random.Next(20);
            if (what >= 4)
            {
                long least = Volatile.Read(ref invalidated[key]);
                try
                {
                    long got = await ReadAsync(key, worker, fails: what == 19);
                    if (got < least)
                    {
                        violations.Enqueue($"key {key}: {got} after {least} had been invalidated");
                    }
                }
                catch (InvalidDataException)
                {
                    // The source failed and there was nothing to stand in.
                }

                return;
            }

            // What is read from here on must be at least what the source had when the invalidation began.
            long[] before = [.. source.Select((_, at) => Interlocked.Increment(ref source[at]))];
            switch (what)
            {
                case 0:
                    await cache.RemoveAsync($"key{key}");
                    Raise(invalidated, key, before);
                    break;
                case 1:
                    await cache.RemoveByTagAsync($"tag{key % 2}");
                    for (int at = key % 2; at < Keys; at += 2)
                    {
                        Raise(invalidated, at, before);
                    }

                    break;
                case 2 when worker.Random.Next(4) == 0:
                    await cache.ClearAsync();
                    for (int at = 0; at < Keys; at++)
                    {
                        Raise(invalidated, at, before);
                    }

                    break;
                case 3:
                    await cache.RemoveAsync([$"key{key}"]);
                    Raise(invalidated, key, before);
                    break;
            }
        }, () => Assert.Empty(violations));

        TestCache.Until(() => cache.Snapshot().Flights == 0 && cache.Core.LoadPermits.CurrentCount == 1024, "the loads' end");
    }

    [Fact]
    public async Task RemoveByTag_StaleCopyWasAnsweredAtTheSoftTimeout_LaterCallersLoadAnew()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.LoadAsync<string>("key", load =>
        {
            load.Tags = ["chosen"];
            return "old";
        });
        _time.Advance(TimeSpan.FromSeconds(61));
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var options = new CacheEntryOptions { SoftTimeout = TimeSpan.FromMilliseconds(100) };
        Task<string> first = cache.GetAsync("key", _ => new ValueTask<string>(hung.Task), options).AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("old", await first.Soon());
        await cache.RemoveByTagAsync("chosen");
        Task<string> later = cache.GetAsync("key", _ => new ValueTask<string>("new"), options).AsTask();
        _time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal("new", await later.Soon());
        hung.SetResult("late");
    }

    [Fact]
    public async Task Expire_WhileASlidingCopyIsTouched_StaysExpired()
    {
        await using ResilientCache cache = TestCache.New();
        var options = new CacheEntryOptions { Sliding = TimeSpan.FromMilliseconds(10), Expiration = TimeSpan.FromHours(1), StaleFor = TimeSpan.FromHours(1) };
        long source = 0;
        long expired = 0;
        await new StressRunner { Workers = 4 }.RunAsync(async worker =>
        {
            if (worker.Random.Next(10) == 0)
            {
                long before = Interlocked.Increment(ref source);
                await cache.ExpireAsync("key");
                Max(ref expired, before);
                return;
            }

            long least = Volatile.Read(ref expired);
            long got = await cache.GetAsync("key", _ => new ValueTask<long>(Volatile.Read(ref source)), options);
            Assert.True(got >= least, $"{got} after {least} had been expired");
        });
    }

    [Fact]
    public async Task Remove_AfterAReaderFoundTheExpiredCopy_ItDoesNotComeBackWhenTheLoadFails()
    {
        await using ResilientCache cache = TestCache.New(configure: options => (options.Expiration, options.StaleThrottle) = (TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)));
        long source = 0;
        long removed = 0;
        await new StressRunner { Workers = 4 }.RunAsync(async worker =>
        {
            int what = worker.Random.Next(10);
            if (what == 0)
            {
                long before = Interlocked.Increment(ref source);
                await cache.RemoveAsync("key");
                Max(ref removed, before);
                return;
            }

            long least = Volatile.Read(ref removed);
            try
            {
                long got = await cache.GetAsync("key", _ => what < 6 ? throw new InvalidDataException() : new ValueTask<long>(Volatile.Read(ref source)));
                Assert.True(got >= least, $"{got} after {least} had been removed");
            }
            catch (InvalidDataException)
            {
                // Nothing was there to stand in.
            }
        });
    }

    private static void Raise(long[] invalidated, int key, long[] before) => Max(ref invalidated[key], before[key]);

    private static void Max(ref long target, long value)
    {
        long seen;
        while (value > (seen = Volatile.Read(ref target)) && Interlocked.CompareExchange(ref target, value, seen) != seen)
        {
        }
    }

    private static async Task Yield() => await Task.Yield();
}
