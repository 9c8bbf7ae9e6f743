using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>Looks at the configured names once the host has started, and again after each reload.</summary>
internal sealed class DegradationStartup(FeatureBook book, PressureMonitor monitor, [FromKeyedServices("")] LiveSettings<DegradeSettings> settings) : IHostedLifecycleService, IDisposable
{
    private IDisposable? _subscription;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken)
    {
        book.Refresh();
        Warn();
        _subscription = settings.OnChange(_ => Warn());
        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _subscription?.Dispose();

    private void Warn()
    {
        book.WarnOfUnknownNames();
        monitor.WarnOfUnknownSignals();
    }
}
