using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>
/// Takes the commands of operators here and of other nodes, checks them, writes them down and puts them in force. Doing less always works, even
/// when neither the audit nor the store can be reached; doing more needs both. What the store could not keep holds here and is shared when the store is
/// back, unless something newer came.
/// </summary>
internal sealed class OverrideDesk : BackgroundService
{
    private static readonly TimeSpan MinTtl = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan MaxTtl = TimeSpan.FromHours(24);
    private static readonly TimeSpan Reconnect = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Refresh = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan StartWait = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new(); // guards _revisions, _highest, _seen, _unshared
    private readonly Dictionary<string, long> _revisions = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, Seen> _seen = new(StringComparer.Ordinal); // by nonce
    private readonly OverrideTrail _trail;
    private readonly UnsharedOverrides _unshared = new();
    private readonly FeatureBook _book;
    private readonly IOverrideStore _store;
    private readonly LiveSettings<DegradeSettings> _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private long _highest;
    private volatile bool _lost;
    private bool _watchLost; // the watching loop's own

    public OverrideDesk(FeatureBook book, IOverrideStore store, IEnumerable<IOverrideAudit> audits, [FromKeyedServices("")] LiveSettings<DegradeSettings> settings, TimeProvider time, ILogger<OverrideDesk> logger)
    {
        _book = book;
        _store = store;
        _trail = new OverrideTrail(audits, logger);
        _settings = settings;
        _time = time;
        _logger = logger;
    }

    /// <summary>The last 256 entries, oldest first.</summary>
    public IReadOnlyList<OverrideAuditEntry> Recent => _trail.Recent;

    /// <summary>Takes a command of an operator at this node.</summary>
    public async ValueTask<OverrideCommand> IssueAsync(Feature feature, FeatureState? state, string reason, string who, TimeSpan? ttl, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(feature);
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        ArgumentException.ThrowIfNullOrWhiteSpace(who);
        TimeSpan term = ttl ?? _settings.Current.Overrides.DefaultTtl;
        if (state is { } known && !Enum.IsDefined(known))
        {
            throw new ArgumentOutOfRangeException(nameof(state), state, "There is no such state.");
        }

        if (term < MinTtl || term > MaxTtl)
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
            Revision = Highest(),
        };
        FeatureState before = _book.SlotOf(_book.Snapshot, feature).State;

        // Lifting an override may let a feature do more, whatever it lifts.
        bool doesLess = state is { } wanted && wanted >= before;
        await _trail.WriteAsync(new OverrideAuditEntry(command.IssuedAt, command, before, "issued"), doesLess, cancellationToken).ConfigureAwait(false);
        bool isKept = true;
        OverrideCommand? former = await WithdrawAsync(feature.Name, cancellationToken).ConfigureAwait(false);
        try
        {
            command = await _store.AppendAsync(command, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (doesLess && !(exception is OperationCanceledException && cancellationToken.IsCancellationRequested))
        {
            // Emergency shedding on the node at hand does not wait for a store.
            isKept = false;
            DegradeLog.OverrideNotShared(_logger, feature.Name, exception);
        }
        catch
        {
            Restore(former);
            throw;
        }

        lock (_lock)
        {
            _seen.TryAdd(command.Nonce, new Seen(command.IssuedAt, ByWatch: false));
            if (!isKept)
            {
                _unshared.Add(command);
            }

            // In the meantime another node may have said something newer.
            if (!isKept || IsNewerUnderLock(command))
            {
                PutInForceUnderLock(command, command.Ttl);
            }
        }

        _book.Tell();
        return command;
    }

    /// <summary>Takes a command that came from the store.</summary>
    /// <param name="command">The command.</param>
    /// <param name="fresh">Whether it came as it was issued, rather than being kept.</param>
    /// <returns>Why it was not taken; <see langword="null"/> when it was, or was known already.</returns>
    internal string? Receive(OverrideCommand command, bool fresh)
    {
        ArgumentNullException.ThrowIfNull(command);
        string? problem;
        lock (_lock)
        {
            DateTimeOffset now = _time.GetUtcNow();
            problem = ProblemUnderLock(command, fresh, now, out bool isNews);
            if (_unshared.IsOwn(command))
            {
                _unshared.Remove(command.Feature);
                IsNewerUnderLock(command);
            }
            else if (problem is null && isNews && !_unshared.Outlast(command, now))
            {
                // The rest of the term is measured on the monotonic clock from here on: no jump of the wall clock stretches an override.
                TimeSpan rest = command.ExpiresAt - now;
                _unshared.Remove(command.Feature);
                PutInForceUnderLock(command, rest < command.Ttl ? rest : command.Ttl);
            }

            if (!isNews)
            {
                return problem;
            }
        }

        _book.Tell();
        if (problem is not null)
        {
            DegradeLog.OverrideRejected(_logger, "from the store", problem);
        }

        return problem;
    }

    /// <summary>What was in force before a restart is in force before the first request, unless the store takes longer than one would wait.</summary>
    /// <remarks>A store in memory holds nothing yet, and nobody else says anything there: nothing to load, to refresh or to watch.</remarks>
    public override Task StartAsync(CancellationToken cancellationToken) =>
        _store is MemoryOverrideStore ? Task.CompletedTask : LoadAndStartAsync(cancellationToken);

    private async Task LoadAndStartAsync(CancellationToken cancellationToken)
    {
        try
        {
            await LoadAsync(cancellationToken).WaitAsync(StartWait, _time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The background work tries again.
        }

        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken) =>
        await Task.WhenAll(RefreshAsync(stoppingToken), WatchAsync(stoppingToken)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task RefreshAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            await Task.Delay(Refresh, _time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await LoadAsync(stoppingToken).ConfigureAwait(false);
        }
    }

    private async Task WatchAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            long began = _time.GetTimestamp();
            try
            {
                await foreach (OverrideCommand command in _store.WatchAsync(stoppingToken).ConfigureAwait(false))
                {
                    Receive(command, fresh: true);
                }
            }
            catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
            {
                WatchLost(exception, _time.GetElapsedTime(began));
            }
            catch (OperationCanceledException)
            {
                return;
            }

            // What was said while the stream was away is in what is loaded.
            await Task.Delay(Reconnect, _time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await LoadAsync(stoppingToken).ConfigureAwait(false);
        }
    }

    /// <summary>Takes what the store holds. Throws nothing: a store that is away changes nothing.</summary>
    private async Task LoadAsync(CancellationToken cancellationToken)
    {
        try
        {
            Take(await _store.LoadAsync(cancellationToken).ConfigureAwait(false));
            _lost = false;
            await ShareAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OverrideStoreAwayException exception)
        {
            Take(exception.LastKnown);
            Lost(exception.InnerException!);
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // The host stops.
        }
        catch (Exception exception)
        {
            Lost(exception);
        }
    }

    /// <summary>Gives the store what it could not keep when it was issued, for the rest of its term. Called after a load: by then what is newer is known.</summary>
    private async Task ShareAsync(CancellationToken cancellationToken)
    {
        foreach (OverrideCommand command in Unshared())
        {
            var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (TrySend(command, arrived.Task))
            {
                try
                {
                    await SendAsync(command, cancellationToken).ConfigureAwait(false);
                }
                finally
                {
                    arrived.SetResult();
                }
            }
        }
    }

    private OverrideCommand[] Unshared()
    {
        lock (_lock)
        {
            return _unshared.Current(_time.GetUtcNow());
        }
    }

    private bool TrySend(OverrideCommand command, Task arrived)
    {
        lock (_lock)
        {
            return _unshared.TrySend(command, arrived);
        }
    }

    private async Task SendAsync(OverrideCommand command, CancellationToken cancellationToken)
    {
        // Other nodes take only what is young and one of its kind, so it is issued anew.
        DateTimeOffset now = _time.GetUtcNow();
        TimeSpan rest = command.ExpiresAt - now;
        OverrideCommand again = command with { IssuedAt = now, Ttl = rest < command.Ttl ? rest : command.Ttl, Nonce = Guid.NewGuid().ToString("N"), Revision = Highest() };
        OverrideCommand? kept = null;
        try
        {
            kept = await _store.AppendAsync(again, cancellationToken).ConfigureAwait(false);
            DegradeLog.OverrideShared(_logger, command.Feature, command.Who);
        }
        finally
        {
            lock (_lock)
            {
                bool holdsHere = _unshared.Sent(command, isKept: kept is not null);
                if (kept is not null)
                {
                    _seen.TryAdd(kept.Nonce, new Seen(kept.IssuedAt, ByWatch: false));

                    // When another node spoke meanwhile, all the others take this for the later word.
                    if (IsNewerUnderLock(kept) && !holdsHere)
                    {
                        PutInForceUnderLock(kept, kept.Ttl);
                    }
                }
            }
        }

        _book.Tell();
    }

    private async ValueTask<OverrideCommand?> WithdrawAsync(string feature, CancellationToken cancellationToken)
    {
        OverrideCommand? former;
        Task arrived;
        lock (_lock)
        {
            former = _unshared.Withdraw(feature, out arrived);
        }

        try
        {
            await arrived.WaitAsync(cancellationToken).ConfigureAwait(false);
            return former;
        }
        catch
        {
            Restore(former);
            throw;
        }
    }

    private void Restore(OverrideCommand? former)
    {
        lock (_lock)
        {
            _unshared.Restore(former);
        }
    }

    private void Take(IReadOnlyList<OverrideCommand> commands)
    {
        foreach (OverrideCommand command in commands)
        {
            Receive(command, fresh: false);
        }
    }

    private void Lost(Exception exception)
    {
        if (!_lost)
        {
            _lost = true;
            DegradeLog.OverrideStoreLost(_logger, exception);
        }
    }

    /// <summary>The same of the stream, which may fail by itself while loads go well: one that was up for a while has been there, and what comes is a new episode.</summary>
    private void WatchLost(Exception exception, TimeSpan wasUp)
    {
        if (!_watchLost || wasUp >= Refresh)
        {
            _watchLost = true;
            Lost(exception);
        }
    }

    private long Highest()
    {
        lock (_lock)
        {
            return _highest;
        }
    }

    /// <param name="command">The command.</param>
    /// <param name="fresh">Whether it came as it was issued.</param>
    /// <param name="now">The wall clock.</param>
    /// <param name="isNews">Whether there is anything to do or to tell: false for what is known and for what has ended by itself.</param>
    private string? ProblemUnderLock(OverrideCommand command, bool fresh, DateTimeOffset now, out bool isNews)
    {
        TimeSpan skew = _settings.Current.Overrides.MaxSkew;
        ForgetUnderLock(now);
        bool isKnown = _seen.TryGetValue(command.Nonce, out Seen seen);
        bool wasSeen = isKnown && (!fresh || seen.ByWatch);

        // What is loaded again and again is no news; nor is this node's own command, or one that was loaded first, when the stream brings it.
        isNews = fresh ? !isKnown || wasSeen : !isKnown || seen.WasRefused;
        string? problem =
            command.Nonce.Length == 0 ? "it has no nonce"
            : string.IsNullOrWhiteSpace(command.Reason) || string.IsNullOrWhiteSpace(command.Who) ? "it has no reason or no name"
            : command.Ttl <= TimeSpan.Zero || command.Ttl > MaxTtl ? "its term is not from 1 ms to 24 h"
            : command.IssuedAt > now + skew || (fresh && command.IssuedAt < now - skew) ? $"it was issued more than {skew.TotalSeconds:0} s away"
            : wasSeen && fresh ? "it was seen before"
            : isNews && !IsNewerUnderLock(command) ? "its revision is not newer than what is known"
            : null;
        if (problem is null && command.State is not null && command.ExpiresAt <= now)
        {
            problem = "it has ended";
            isNews = false;
        }

        // What was refused because it came too late, or too early by this node's clock, may be right when it is loaded; that it is not yet, is no news.
        isNews &= !(isKnown && !fresh && problem is not null);
        if (command.Nonce.Length > 0)
        {
            _seen[command.Nonce] = new Seen(isKnown && !fresh ? seen.At : now, fresh || seen.ByWatch, problem is not null && (!isKnown || seen.WasRefused));
        }

        return problem;
    }

    private bool IsNewerUnderLock(OverrideCommand command)
    {
        if (command.Revision <= _revisions.GetValueOrDefault(command.Feature))
        {
            return false;
        }

        _revisions[command.Feature] = command.Revision;
        _highest = Math.Max(_highest, command.Revision);
        return true;
    }

    private void PutInForceUnderLock(OverrideCommand command, TimeSpan rest)
    {
        DateTimeOffset now = _time.GetUtcNow();
        _book.Put(command.Feature, command.State is { } state
            ? new ActiveOverride(command.Feature, state, command.Reason, command.Who, command.IssuedAt, now + rest, Deadline.After(rest, _time))
            : null);
    }

    /// <summary>A fresh command is refused by its age long before it is forgotten, and a kept one by its revision.</summary>
    private void ForgetUnderLock(DateTimeOffset now)
    {
        if (_seen.Count > 10_000)
        {
            foreach (string old in _seen.Where(pair => pair.Value.At < now - TimeSpan.FromMinutes(30)).Select(pair => pair.Key).ToArray())
            {
                _seen.Remove(old);
            }
        }
    }

    /// <summary>A nonce that was seen.</summary>
    /// <param name="At">When.</param>
    /// <param name="ByWatch">Whether it came by the stream: there each comes once, and twice is a replay.</param>
    /// <param name="WasRefused">Whether it was refused so far.</param>
    private readonly record struct Seen(DateTimeOffset At, bool ByWatch, bool WasRefused = false);
}
