using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>
/// Takes the commands of operators here and of other nodes, checks them, writes them down and puts them in force. Doing less always works, even
/// when neither the audit nor the store can be reached; doing more needs both.
/// </summary>
internal sealed class OverrideDesk : BackgroundService
{
    private static readonly TimeSpan MaxTtl = TimeSpan.FromHours(24);
    private static readonly TimeSpan Reconnect = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new(); // guards _revisions, _nonces, _recent
    private readonly Dictionary<string, long> _revisions = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, DateTimeOffset> _nonces = new(StringComparer.Ordinal);
    private readonly Queue<OverrideAuditEntry> _recent = new();
    private readonly FeatureBook _book;
    private readonly IOverrideStore _store;
    private readonly IOverrideAudit[] _audits;
    private readonly LiveSettings<DegradeSettings> _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    public OverrideDesk(FeatureBook book, IOverrideStore store, IEnumerable<IOverrideAudit> audits, [FromKeyedServices("")] LiveSettings<DegradeSettings> settings, TimeProvider time, ILogger<OverrideDesk> logger)
    {
        _book = book;
        _store = store;
        _audits = [.. audits];
        _settings = settings;
        _time = time;
        _logger = logger;
    }

    /// <summary>The last 256 entries, oldest first.</summary>
    public IReadOnlyList<OverrideAuditEntry> Recent
    {
        get
        {
            lock (_lock)
            {
                return [.. _recent];
            }
        }
    }

    /// <summary>Takes a command of an operator at this node.</summary>
    public async ValueTask<OverrideCommand> IssueAsync(Feature feature, FeatureState? state, string reason, string who, TimeSpan? ttl, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(feature);
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        ArgumentException.ThrowIfNullOrWhiteSpace(who);
        TimeSpan term = ttl ?? _settings.Current.Overrides.DefaultTtl;
        if (term <= TimeSpan.Zero || term > MaxTtl)
        {
            throw new ArgumentOutOfRangeException(nameof(ttl), term, $"An override holds from 1 ms to {MaxTtl.TotalHours:0} h; it is for an incident, the configuration is for good.");
        }

        var command = new OverrideCommand
        {
            Feature = feature.Name,
            State = state,
            Reason = reason,
            Who = who,
            IssuedAt = _time.GetUtcNow(),
            Ttl = term,
            Nonce = Guid.NewGuid().ToString("N"),
        };
        FeatureState before = _book.SlotOf(_book.Snapshot, feature).State;

        // Lifting an override may let a feature do more, whatever it lifts.
        bool doesLess = state is { } wanted && wanted >= before;
        await AuditAsync(new OverrideAuditEntry(command.IssuedAt, command, before, "issued"), doesLess, cancellationToken).ConfigureAwait(false);
        try
        {
            command = await _store.AppendAsync(command, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (doesLess && exception is not OperationCanceledException)
        {
            // Emergency shedding on the node at hand does not wait for a store.
            DegradeLog.OverrideNotShared(_logger, feature.Name, exception);
        }

        Apply(feature, command, local: true);
        return command;
    }

    /// <summary>Takes a command that came from the store.</summary>
    /// <returns>Why it was not taken; <see langword="null"/> when it was.</returns>
    internal string? Receive(OverrideCommand command, bool fresh)
    {
        DateTimeOffset now = _time.GetUtcNow();
        string? problem = Problem(command, fresh, now);
        if (problem is null && command.State is not null && command.ExpiresAt <= now)
        {
            return "it has ended"; // no news: it ended by itself
        }

        if (problem is null && !Feature.TryGet(command.Feature, out Feature? feature))
        {
            problem = "nothing has declared the feature";
        }
        else if (problem is null)
        {
            Feature.TryGet(command.Feature, out feature);
            if (!Apply(feature!, command, local: false))
            {
                problem = "its revision is not newer than what is known";
            }
        }

        if (problem is not null)
        {
            DegradeLog.OverrideRejected(_logger, "from the store", problem);
        }

        return problem;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        bool loaded = false;
        bool lost = false;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (!loaded)
                {
                    foreach (OverrideCommand command in await _store.LoadAsync(stoppingToken).ConfigureAwait(false))
                    {
                        Receive(command, fresh: false);
                    }

                    loaded = true;
                }

                await foreach (OverrideCommand command in _store.WatchAsync(stoppingToken).ConfigureAwait(false))
                {
                    lost = false;
                    Receive(command, fresh: true);
                }
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                if (!lost)
                {
                    lost = true;
                    DegradeLog.OverrideStoreLost(_logger, exception);
                }
            }

            // What was said while the stream was away is in what is loaded.
            loaded = false;
            await Task.Delay(Reconnect, _time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private string? Problem(OverrideCommand command, bool fresh, DateTimeOffset now)
    {
        TimeSpan skew = _settings.Current.Overrides.MaxSkew;
        if (string.IsNullOrWhiteSpace(command.Reason) || string.IsNullOrWhiteSpace(command.Who))
        {
            return "it has no reason or no name";
        }

        if (command.Ttl <= TimeSpan.Zero || command.Ttl > MaxTtl)
        {
            return "its term is not from 1 ms to 24 h";
        }

        if (command.IssuedAt > now + skew || (fresh && command.IssuedAt < now - skew))
        {
            return $"it was issued more than {skew.TotalSeconds:0} s away";
        }

        lock (_lock)
        {
            if (_nonces.Count > 10_000)
            {
                foreach (string old in _nonces.Where(pair => pair.Value < now - MaxTtl).Select(pair => pair.Key).ToArray())
                {
                    _nonces.Remove(old);
                }
            }

            if (command.Nonce.Length == 0)
            {
                return "it has no nonce";
            }

            // One that is loaded again after the stream was lost is no replay: its revision tells.
            if (!_nonces.TryAdd(command.Nonce, now) && fresh)
            {
                return "it was seen before";
            }
        }

        return null;
    }

    private bool Apply(Feature feature, OverrideCommand command, bool local)
    {
        lock (_lock)
        {
            long known = _revisions.GetValueOrDefault(feature.Name);
            if (!local && command.Revision <= known)
            {
                return false;
            }

            _revisions[feature.Name] = Math.Max(known, command.Revision);
            if (local)
            {
                _nonces.TryAdd(command.Nonce, command.IssuedAt);
            }
        }

        if (command.State is { } state)
        {
            // The rest of the term is measured on the monotonic clock from here on: no jump of the wall clock stretches an override.
            DateTimeOffset now = _time.GetUtcNow();
            TimeSpan rest = local ? command.Ttl : command.ExpiresAt - now;
            rest = rest > command.Ttl ? command.Ttl : rest;
            _book.Take(feature, new ActiveOverride(state, command.Reason, command.Who, command.IssuedAt, now + rest, Deadline.After(rest, _time)));
        }
        else
        {
            _book.Take(feature, null);
        }

        return true;
    }

    private async ValueTask AuditAsync(OverrideAuditEntry entry, bool doesLess, CancellationToken cancellationToken)
    {
        DegradeLog.OverrideIssued(_logger, entry.Command.Feature, entry.Before, entry.Command.State?.ToString() ?? "no override", entry.Command.Who, entry.Command.Ttl, entry.Command.Reason);
        foreach (IOverrideAudit audit in _audits)
        {
            try
            {
                await audit.WriteAsync(entry, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (doesLess && exception is not OperationCanceledException)
            {
                DegradeLog.AuditFailed(_logger, entry.Command.Feature, exception);
            }
        }

        lock (_lock)
        {
            _recent.Enqueue(entry);
            while (_recent.Count > 256)
            {
                _recent.Dequeue();
            }
        }
    }
}
