using Resilience.TestKit;

namespace Resilience.Pools.Tests;

/// <summary>A clock, a factory, and pools over both, which are drained at the end of a test.</summary>
internal sealed class PoolFixture : IAsyncDisposable
{
    private readonly List<ResourcePool<Resource>> _made = [];

    public ManualTimeProvider Time { get; } = new();

    public Factory Factory { get; } = new();

    /// <summary>Makes a pool.</summary>
    /// <param name="options">Its settings; one place when <see langword="null"/>.</param>
    /// <param name="time">Its clock; <see cref="Time"/> when <see langword="null"/>.</param>
    public ResourcePool<Resource> Make(PoolOptions? options = null, TimeProvider? time = null) => Add(new("test", Factory, options ?? new PoolOptions { MaxSize = 1 }, time ?? Time));

    /// <summary>Has a pool drained that the test made itself.</summary>
    public ResourcePool<Resource> Add(ResourcePool<Resource> pool)
    {
        _made.Add(pool);
        return pool;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ResourcePool<Resource> pool in _made)
        {
            Task drained = pool.DrainAsync(TimeSpan.Zero);
            await Eventually.TrueAsync(() =>
            {
                Time.Advance(TimeSpan.FromSeconds(1));
                return drained.IsCompleted;
            }, "the drain at the end of the test");
        }
    }
}
