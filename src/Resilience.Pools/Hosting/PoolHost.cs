using Microsoft.Extensions.Hosting;

namespace Resilience.Pools;

/// <summary>
/// Starts a pool with the host and drains it when everything else has stopped, because what stops may still need it.
/// </summary>
internal sealed class PoolHost<T>(ResourcePool<T> pool) : IHostedLifecycleService
    where T : class
{
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => pool.StartAsync(cancellationToken);

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken) => await pool.DrainAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
}
