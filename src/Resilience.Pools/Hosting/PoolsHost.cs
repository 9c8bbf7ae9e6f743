using Microsoft.Extensions.Hosting;

namespace Resilience.Pools;

/// <summary>Something of this package that starts and ends with the host.</summary>
internal interface IHostedBlock
{
    /// <summary>Whether it uses pools, and so must be drained before they are.</summary>
    bool UsesPools { get; }

    Task StartAsync(CancellationToken cancellationToken);

    /// <param name="hurry">Cancelled when the host has no patience left.</param>
    Task DrainAsync(CancellationToken hurry);
}

/// <summary>
/// Starts pools and writers with the host. They are drained when every other service has stopped, because what stops may still need
/// them; writers first, because their sinks may need a pool.
/// </summary>
internal sealed class PoolsHost(IEnumerable<IHostedBlock> blocks) : IHostedLifecycleService
{
    private readonly IHostedBlock[] _blocks = [.. blocks];

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.WhenAll(_blocks.Select(block => block.StartAsync(cancellationToken)));

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await Task.WhenAll(_blocks.Where(block => block.UsesPools).Select(block => block.DrainAsync(cancellationToken))).ConfigureAwait(false);
        await Task.WhenAll(_blocks.Where(block => !block.UsesPools).Select(block => block.DrainAsync(cancellationToken))).ConfigureAwait(false);
    }
}

internal sealed class HostedPool<T>(ResourcePool<T> pool) : IHostedBlock
    where T : class
{
    public bool UsesPools => false;

    public Task StartAsync(CancellationToken cancellationToken) => pool.StartAsync(cancellationToken);

    public Task DrainAsync(CancellationToken hurry) => pool.DrainAsync(timeout: null, hurry);
}

internal sealed class HostedBatchWriter<T>(BatchWriter<T> writer) : IHostedBlock
{
    public bool UsesPools => true;

    /// <summary>Nothing: the first item starts the writer.</summary>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task DrainAsync(CancellationToken hurry)
    {
        using CancellationTokenRegistration registration = hurry.UnsafeRegister(static writer => ((BatchWriter<T>)writer!).GiveUp(), writer);
        await writer.DrainAsync().ConfigureAwait(false);
    }
}

internal sealed class HostedKeyedPool<TKey, T>(KeyedResourcePool<TKey, T> pool) : IHostedBlock
    where TKey : notnull
    where T : class
{
    public bool UsesPools => false;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task DrainAsync(CancellationToken hurry) => pool.DrainAsync(timeout: null, hurry);
}
