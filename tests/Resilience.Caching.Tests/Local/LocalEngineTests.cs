using System.Globalization;
using Resilience.Caching.Local;

namespace Resilience.Caching.Tests.Local;

public class LocalEngineTests
{
    [Fact]
    public void Engine_NotChosen_IsTheOneThatWins() => Assert.Equal(LocalEngine.S3Fifo, new LocalTierOptions().Engine);

    [Fact]
    public async Task GetOrCreateAsync_UniqueKeysTwiceInARowThroughASmallBound_LoadsEachOnce()
    {
        const int Keys = 200_000;
        await using ResilientCache cache = TestCache.New(configure: options => options.Local.SizeLimit = 10_000);
        var ofSizeOne = new CacheEntryOptions { Size = 1 };
        int loads = 0;
        for (int i = 0; i < Keys * 2; i++)
        {
            string key = (i / 2).ToString(CultureInfo.InvariantCulture);
            Assert.Equal(key, await cache.GetAsync(key, _ =>
            {
                loads++;
                return new ValueTask<string>(key);
            }, ofSizeOne));
        }

        Assert.Equal(Keys, loads);
        Assert.InRange(cache.Snapshot().LocalCount, 9_900, 10_000);
    }

    [Theory]
    [InlineData(LocalEngine.S3Fifo)]
    [InlineData(LocalEngine.Memory)]
    public async Task Dispose_LoadUnderWay_StillAnswers(LocalEngine engine)
    {
        ResilientCache cache = TestCache.New(configure: options => options.Local.Engine = engine);
        var source = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> read = cache.GetAsync("key", _ => new ValueTask<string>(source.Task)).AsTask();
        await cache.DisposeAsync();
        source.SetResult("value");
        Assert.Equal("value", await read.Soon());
    }
}
