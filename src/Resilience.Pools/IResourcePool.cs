namespace Resilience.Pools;

/// <summary>A pool of whatever: what health checks, dashboards and pressure signals see. All pools of a container are found by it.</summary>
public interface IResourcePool
{
    /// <summary>The name: options name, DI key and metric tag at once.</summary>
    string Name { get; }

    /// <summary>The state of the pool now. Costs a walk over its places; thread-safe.</summary>
    PoolSnapshot Snapshot();

    /// <summary>How much of the pool is wanted now: what a pressure signal reads ten times a second, so it allocates nothing. Thread-safe.</summary>
    PoolOccupancy Occupancy
    {
        get
        {
            PoolSnapshot snapshot = Snapshot();
            return new PoolOccupancy(snapshot.Leased, snapshot.Waiting, snapshot.Limit, snapshot.Backend);
        }
    }

    /// <summary>The name of the feature that the pool serves, as <see cref="PoolOptions.Feature"/> has it; <see langword="null"/> when it serves none.</summary>
    string? Feature => null;

    /// <summary>
    /// Whether the pool yields: those who wait are served strictly by priority, even where <see cref="PoolOptions.Priorities"/> is off, and nobody is
    /// let forward for having waited long. For the time in which what the pool serves has to give way; false at first.
    /// </summary>
    bool YieldsToPriority
    {
        get => false;
        set
        {
        }
    }

    /// <summary>Replaces all resources that exist now; see <see cref="ResourcePool{T}.ClearAsync"/>.</summary>
    /// <param name="pace">Over how long the idle ones are spread.</param>
    /// <param name="cancellationToken">Ends the wait, not the clearing.</param>
    Task ClearAsync(TimeSpan pace = default, CancellationToken cancellationToken = default);

    /// <summary>Changes <see cref="PoolOptions.MaxSize"/> until the settings change next.</summary>
    /// <param name="maxSize">The new size, from 1 to 65,536.</param>
    void Resize(int maxSize);
}
