using Resilience.TestKit;

namespace Resilience.Pools.Tests.Sizing;

public sealed class PoolSizerTests
{
    private readonly PoolOptions _options = new() { MaxSize = 50 };
    private long _now = 1_000;

    public PoolSizerTests()
    {
        _options.AdaptiveSizing.Enabled = true;
        _options.AdaptiveSizing.MinSize = 5;
    }

    [Fact]
    public void Tick_FullAndQuick_Grows()
    {
        var sizer = new PoolSizer(_options, 10);
        Run(sizer, windows: 12, held: 5, leased: _ => 50, waiting: true);
        Assert.True(sizer.Size > 12, $"size {sizer.Size}");
    }

    [Fact]
    public void Tick_LeasesGetLonger_ShrinksThoughCallersWait()
    {
        var sizer = new PoolSizer(_options, 40);
        Run(sizer, windows: 3, held: 5, leased: _ => 10, waiting: false);
        Run(sizer, windows: 12, held: 20, leased: _ => 50, waiting: true);
        Assert.True(sizer.Size < 25, $"size {sizer.Size}");
        Run(sizer, windows: 100, held: 20, leased: _ => 50, waiting: true);
        Assert.Equal(5, sizer.Size);
    }

    [Fact]
    public void Tick_CreationsFail_Shrinks()
    {
        var sizer = new PoolSizer(_options, 40);
        Run(sizer, windows: 6, held: 5, leased: _ => 50, waiting: true, failing: true);
        Assert.True(sizer.Size < 40);
    }

    [Fact]
    public void Tick_OneOddWindow_ChangesNothing()
    {
        var sizer = new PoolSizer(_options, 20);
        for (int i = 0; i < 10; i++)
        {
            Run(sizer, windows: 1, held: 5, leased: _ => 10, waiting: false);
            Run(sizer, windows: 1, held: 50, leased: _ => 20, waiting: true);
        }

        Assert.Equal(20, sizer.Size);
    }

    [Fact]
    public async Task Pool_LeasesGetLonger_FindsASmallerLimitAndSaysSo()
    {
        var time = new ManualTimeProvider();
        using var log = new LogCollector();
        var options = new PoolOptions { MaxSize = 10, LeakThreshold = Timeout.InfiniteTimeSpan };
        options.AdaptiveSizing.Enabled = true;
        options.AdaptiveSizing.MinSize = 2;
        options.AdaptiveSizing.Window = TimeSpan.FromSeconds(1);
        var pool = new ResourcePool<Resource>("test", new Factory(), options, time, log.CreateLogger("test"));
        Assert.Equal(10, pool.Snapshot().Limit);
        await LeaseAsync(times: 100, TimeSpan.FromMilliseconds(10));
        Assert.Equal(10, pool.Snapshot().Limit);
        await LeaseAsync(times: 100, TimeSpan.FromMilliseconds(200));
        Assert.InRange(pool.Snapshot().Limit, 2, 9);
        Assert.NotEmpty(log.WithId(2008));

        async Task LeaseAsync(int times, TimeSpan held)
        {
            for (int i = 0; i < times; i++)
            {
                using PoolLease<Resource> lease = await pool.AcquireAsync();
                time.Advance(held);
            }
        }
    }

    private void Run(PoolSizer sizer, int windows, double held, Func<int, int> leased, bool waiting, bool failing = false)
    {
        for (int i = 0; i < windows; i++)
        {
            for (int use = 0; use < 100; use++)
            {
                sizer.Used(TimeSpan.FromMilliseconds(held));
            }

            sizer.Tick(_now, leased(i), waiting, failing);
            _now += 5_000;
            sizer.Tick(_now, leased(i), waiting, failing);
        }
    }
}
