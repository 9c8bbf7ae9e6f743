using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;

namespace Resilience.Settings;

/// <summary>
/// Validates all settings before anything else of the host starts, and reloads them when the configuration changes: once per burst
/// of changes, all blocks, one log line for all errors.
/// </summary>
internal sealed class SettingsWatcher : IHostedLifecycleService, IDisposable
{
    /// <summary>How long the configuration must be quiet: a file that is saved raises two or three changes.</summary>
    internal static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(100);

    private readonly IServiceProvider _services;
    private readonly SettingsRegistration[] _registrations;
    private readonly ILogger _logger;
    private readonly ITimer _timer;
    private readonly Lock _reloading = new(); // one reload at a time; guards nothing else
    private readonly List<IDisposable> _subscriptions = [];
    private ILiveSettings[] _settings = [];

    public SettingsWatcher(IServiceProvider services, IEnumerable<SettingsRegistration> registrations, TimeProvider timeProvider, ILogger<SettingsWatcher> logger)
    {
        _services = services;
        _registrations = [.. registrations];
        _logger = logger;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = timeProvider.CreateTimer(static state => ((SettingsWatcher)state!).Reload(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    public Task StartingAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<SettingsError> errors = SettingsRegistration.CheckAll(_services);
        if (errors.Count > 0)
        {
            throw new SettingsException(errors);
        }

        _settings = [.. _registrations.Select(registration => registration.Resolve(_services))];
        foreach (ILiveSettings live in _settings)
        {
            if (live.Section is { } section)
            {
                _subscriptions.Add(ChangeToken.OnChange(section.GetReloadToken, () => _timer.Change(Quiet, Timeout.InfiniteTimeSpan)));
            }
        }

        return Task.CompletedTask;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        foreach (IDisposable subscription in _subscriptions)
        {
            subscription.Dispose();
        }

        _timer.Dispose();
    }

    internal void Reload()
    {
        lock (_reloading)
        {
            var errors = new List<SettingsError>();
            foreach (ILiveSettings live in _settings)
            {
                SettingsReload reload = live.Reload();
                errors.AddRange(reload.NewErrors);
                if (reload.Changed)
                {
                    SettingsLog.Reloaded(_logger, live.Path);
                }

                foreach (Exception failure in reload.ListenerFailures)
                {
                    SettingsLog.ListenerFailed(_logger, live.Path, failure);
                }
            }

            if (errors.Count > 0)
            {
                SettingsLog.Rejected(_logger, errors.Count, string.Join("; ", errors));
            }
        }
    }
}
