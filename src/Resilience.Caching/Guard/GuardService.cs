using Microsoft.Extensions.Hosting;

namespace Resilience.Caching.Guard;

/// <summary>Starts a guard with the host and stops it with the host. Starting does not wait for the filter: until it is there, all reads pass.</summary>
internal sealed class GuardService(BloomGuard guard) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        guard.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => guard.DisposeAsync().AsTask().WaitAsync(cancellationToken);
}
