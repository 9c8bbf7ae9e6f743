using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>
/// Keeps the little that would be gone when somebody opens the page: the last leaks of scopes, and overrides that ended by themselves. It is told of
/// them; nothing is polled.
/// </summary>
internal sealed class DashboardJournal(IServiceProvider services, TimeProvider time) : IHostedService, IDisposable
{
    private const int Capacity = 20;

    private readonly Lock _lock = new(); // guards the writes of _leaks and _ended
    private readonly List<IDisposable> _subscriptions = [];
    private readonly long _started = time.GetTimestamp();
    private volatile Journaled _leaks = new(0, []);
    private volatile AuditEntry[] _ended = [];

    /// <summary>How many scopes leaked since the start, and the last of them, newest first.</summary>
    public (long Count, ScopeLeak[] Last) Leaks
    {
        get
        {
            Journaled leaks = _leaks;
            return (leaks.Count, leaks.Last);
        }
    }

    /// <summary>How long the host has run.</summary>
    public TimeSpan Uptime => time.GetElapsedTime(_started);

    /// <summary>Overrides that ended by themselves, newest first.</summary>
    public AuditEntry[] Ended => _ended;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        // Looked up only now: all settings have been validated.
        if (services.GetService<ScopeMonitor>()?.Leaks is { } detector)
        {
            _subscriptions.Add(detector.OnLeak(OnLeak));
        }

        if (services.GetService<IDegradation>() is { } degradation)
        {
            _subscriptions.Add(degradation.OnChange(OnChange));
        }

        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        foreach (IDisposable subscription in _subscriptions)
        {
            subscription.Dispose();
        }
    }

    private void OnLeak(ScopeLeak leak)
    {
        lock (_lock)
        {
            _leaks = new Journaled(_leaks.Count + 1, [leak, .. _leaks.Last.Take(Capacity - 1)]);
        }
    }

    private void OnChange(FeatureChange change)
    {
        DateTimeOffset now = time.GetUtcNow();
        if (change.Before.Source == DecisionSource.Override && change.After.Source != DecisionSource.Override && change.Before.Until <= now)
        {
            var entry = new AuditEntry(now, "(time is up)", $"{change.After.State} again", change.Feature.Name, $"Was {change.Before.State}: {change.Before.Reason}", null);
            lock (_lock)
            {
                _ended = [entry, .. _ended.Take(Capacity - 1)];
            }
        }
    }

    private sealed record Journaled(long Count, ScopeLeak[] Last);
}
