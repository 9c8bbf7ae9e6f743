namespace Resilience.Pools;

/// <summary>A pool of whatever: what health checks, dashboards and pressure signals see. All pools of a container are found by it.</summary>
public interface IResourcePool
{
    /// <summary>The name: options name, DI key and metric tag at once.</summary>
    string Name { get; }

    /// <summary>The state of the pool now. Costs a walk over its places; thread-safe.</summary>
    PoolSnapshot Snapshot();

    /// <summary>Replaces all resources that exist now; see <see cref="ResourcePool{T}.ClearAsync"/>.</summary>
    /// <param name="pace">Over how long the idle ones are spread.</param>
    /// <param name="cancellationToken">Ends the wait, not the clearing.</param>
    Task ClearAsync(TimeSpan pace = default, CancellationToken cancellationToken = default);

    /// <summary>Changes <see cref="PoolOptions.MaxSize"/> until the settings change next.</summary>
    /// <param name="maxSize">The new size, from 1 to 65,536.</param>
    void Resize(int maxSize);
}
