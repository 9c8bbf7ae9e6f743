using Microsoft.Extensions.Logging;
using Resilience.Caching.Hashing;
using Resilience.Context;

namespace Resilience.Caching.Guard;

/// <summary>
/// Knows which keys cannot exist, so that reads of invented keys cost neither a tier nor a factory: a Bloom filter over every key of a
/// source, kept up to date by <see cref="AddAsync(string, CancellationToken)"/> and built anew on a schedule.
/// </summary>
/// <remarks>
/// <para>The law: a key whose <c>AddAsync</c> completed before its row was committed is never refused, provided that the row is committed within
/// <see cref="GuardOptions.CommitWithin"/>. A guard that cannot prove it (loading, overfull, too old, journal not confirmed, contradicted) refuses nothing.</para>
/// <para>Thread-safe. Checks take no lock and allocate nothing. The container owns a guard and disposes it.</para>
/// </remarks>
public sealed class BloomGuard : ICacheGuard, IAsyncDisposable
{
    /// <summary>How much longer than the freshness an addition waits: two readings of a coarse clock are up to 16 ms off each, timers too.</summary>
    internal static readonly TimeSpan ClockSlack = TimeSpan.FromMilliseconds(50);

    /// <summary>How long an access to the journal may take before it counts as failed; what comes later is ignored.</summary>
    internal static readonly TimeSpan JournalTimeout = TimeSpan.FromSeconds(5);

    private readonly GuardFilters _filters;
    private readonly RecentAdditions _recent;
    private readonly AuditTrail _audits = new();
    private readonly GuardBuilder _builder;
    private readonly GuardFollower? _follower;
    private readonly IGuardJournal? _journal;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopping = new();
    private readonly StripedCounter _refusals = new();
    private readonly StripedCounter _withheld = new();
    private readonly StripedCounter _additions = new();
    private readonly Lock _starting = new(); // guards _running
    private Task? _running;
    private long _auditCount;
    private long _contradictions;

    internal BloomGuard(string name, GuardOptions options, IGuardSource source, IGuardJournal? journal, TimeProvider time, ILogger logger)
    {
        Name = name;
        _time = time;
        _logger = logger;
        _journal = journal;
        var clock = new CoarseClock(time);
        _filters = new GuardFilters(clock, options, journal is null ? RandomSeed() : 0, journal is not null);
        _recent = new RecentAdditions(clock, () => _filters.Options.Retention);
        _builder = new GuardBuilder(name, _filters, _recent, source, journal, time, logger);
        _follower = journal is null ? null : new GuardFollower(name, _filters, _builder, journal, time, logger);
    }

    /// <summary>The name: that of the cache it stands in front of.</summary>
    public string Name { get; }

    /// <summary>What takes over from the shared journal; <see langword="null"/> where there is none.</summary>
    internal GuardFollower? Follower => _follower;

    /// <summary>What the guard is doing.</summary>
    public GuardState State => _filters.State;

    /// <summary>Whether a key may exist.</summary>
    /// <param name="key">The key, spelled as the source spells it.</param>
    /// <returns><see langword="false"/> when it provably does not; <see langword="true"/> when it may, or when the guard cannot tell.</returns>
    public bool MayExist(ReadOnlySpan<char> key) => Judge(key) != GuardVerdict.DefinitelyAbsent;

    /// <inheritdoc/>
    GuardVerdict ICacheGuard.Check(string key) => Judge(key);

    /// <inheritdoc/>
    void ICacheGuard.Exists(string key)
    {
        Sieves sieves = _filters.Sieves;
        if (sieves.Seed == 0)
        {
            return;
        }

        ulong hash = XxHash64.Hash(key, sieves.Seed);
        if (sieves.Current is { } current)
        {
            if (current.MightContain(hash))
            {
                return; // added before; should a filter be under construction, it has the key from there
            }

            if (_audits.Take(hash))
            {
                Interlocked.Increment(ref _contradictions);
                if (_filters.Contradict())
                {
                    GuardLog.Contradicted(_logger, Name);
                    _builder.Wake();
                }
            }
        }

        AddLocal(hash, sieves.Seed);
    }

    /// <summary>
    /// Says that a key is about to exist. Call it before the row is committed and await it; when the row is rolled back after all, the key
    /// is a false positive until the next rebuild, which harms nothing.
    /// </summary>
    /// <param name="key">The key, spelled as the cache will be asked for it.</param>
    /// <param name="cancellationToken">Gives up waiting for the other nodes; the key may have been added or not.</param>
    /// <returns>
    /// Complete when no node refuses the key any more: at once for a guard of one process, else when every node that may refuse has
    /// confirmed it, at most a little over <see cref="GuardOptions.Freshness"/>.
    /// </returns>
    /// <exception cref="GuardJournalException">The shared journal could not be written: do not commit.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask AddAsync(string key, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (_journal is not null)
        {
            return AddSharedAsync([key], cancellationToken);
        }

        ulong seed = _filters.Sieves.Seed;
        AddLocal(XxHash64.Hash(key, seed), seed);
        return ValueTask.CompletedTask;
    }

    /// <summary>Says that keys are about to exist, in one step: see <see cref="AddAsync(string, CancellationToken)"/>.</summary>
    /// <param name="keys">The keys.</param>
    /// <param name="cancellationToken">Gives up waiting for the other nodes; the keys may have been added or not.</param>
    /// <returns>Complete when no node refuses any of the keys any more.</returns>
    /// <exception cref="GuardJournalException">The shared journal could not be written: do not commit.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask AddAsync(IReadOnlyCollection<string> keys, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        if (_journal is not null)
        {
            return keys.Count == 0 ? ValueTask.CompletedTask : AddSharedAsync(keys, cancellationToken);
        }

        ulong seed = _filters.Sieves.Seed;
        foreach (string key in keys)
        {
            AddLocal(XxHash64.Hash(key, seed), seed);
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>Builds the filter anew now, beside the schedule.</summary>
    /// <param name="cancellationToken">Gives up; the filter in force stays.</param>
    /// <returns>Whether a new filter is in force; not, while a shared journal is younger than <see cref="GuardOptions.CommitWithin"/>.</returns>
    /// <remarks>What the source throws is thrown.</remarks>
    public async Task<bool> RebuildAsync(CancellationToken cancellationToken = default) =>
        await _builder.BuildAsync(cancellationToken).ConfigureAwait(false) == TimeSpan.Zero;

    /// <summary>Counts and measures; samples the filter, about 20 µs.</summary>
    /// <returns>The guard at this moment.</returns>
    public GuardStatistics GetStatistics()
    {
        (double fill, double rate) = _filters.Measure();
        SplitBlockBloomFilter? current = _filters.Sieves.Current;
        return new GuardStatistics
        {
            State = State,
            Refusals = _refusals.Value,
            Withheld = _withheld.Value,
            Audits = Volatile.Read(ref _auditCount),
            Contradictions = Volatile.Read(ref _contradictions),
            Additions = _additions.Value,
            Rebuilds = _builder.Built,
            FailedRebuilds = _builder.Failed,
            Keys = current?.Additions ?? 0,
            Bytes = current?.Bytes ?? 0,
            Fill = fill,
            EstimatedFalsePositiveRate = rate,
            Age = _filters.Age,
            LastError = (_builder.LastError ?? _follower?.LastError)?.Message,
        };
    }

    /// <summary>Stops building and following. The guard refuses nothing more once its filter has aged.</summary>
    /// <returns>When the background work has ended.</returns>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        if (_running is { } running)
        {
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Starts building and following in the background; once.</summary>
    internal void Start()
    {
        lock (_starting)
        {
            if (_running is not null || _stopping.IsCancellationRequested)
            {
                return;
            }

            using (ExecutionContext.SuppressFlow())
            {
                Task building = Task.Run(() => _builder.RunAsync(_stopping.Token));
                Task following = _follower is null ? Task.CompletedTask : Task.Run(() => _follower.RunAsync(_stopping.Token));
                _running = Task.WhenAll(building, following);
            }
        }
    }

    /// <summary>Takes new options over; sizes take effect with the next filter.</summary>
    internal void Configure(GuardOptions options)
    {
        bool wasEnabled = _filters.Options.Enabled;
        _filters.Configure(options);
        if (options.Enabled && !wasEnabled)
        {
            _builder.Wake();
        }
    }

    private static ulong RandomSeed()
    {
        ulong seed;
        do
        {
            seed = (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue);
        }
        while (seed == 0);

        return seed;
    }

    private GuardVerdict Judge(ReadOnlySpan<char> key)
    {
        Sieves sieves = _filters.Sieves;
        if (sieves.Current is not { } current)
        {
            return GuardVerdict.NotReady;
        }

        ulong hash = XxHash64.Hash(key, sieves.Seed);
        return current.MightContain(hash) ? GuardVerdict.MaybePresent : JudgeAbsent(hash, sieves.Seed);
    }

    private GuardVerdict JudgeAbsent(ulong hash, ulong seed)
    {
        if (!_filters.MayRefuse)
        {
            _withheld.Increment();
            return GuardVerdict.NotReady;
        }

        // Once more, now that the permission has been read: the first look may have been at a filter from before whatever renewed the
        // permission, such as a confirmation that brought this very key. A permission and a later look make a refusal right at the moment
        // of the permission, since what had to be in the filter for it to hold was there first.
        Sieves sieves = _filters.Sieves;
        if (sieves.Seed != seed || sieves.Current is not { } current)
        {
            return GuardVerdict.NotReady;
        }

        if (current.MightContain(hash))
        {
            return GuardVerdict.MaybePresent;
        }

        double audited = _filters.Options.AuditShare;
        if (audited > 0 && Random.Shared.NextDouble() < audited)
        {
            Interlocked.Increment(ref _auditCount);
            _audits.Note(hash);
            return GuardVerdict.MaybePresent;
        }

        _refusals.Increment();
        return GuardVerdict.DefinitelyAbsent;
    }

    private void AddLocal(ulong hash, ulong seed)
    {
        _additions.Increment();
        _recent.Append(hash);
        if (_filters.Add(hash, seed) is { } overfull)
        {
            _builder.Outgrown(overfull);
        }
    }

    private async ValueTask AddSharedAsync(IReadOnlyCollection<string> keys, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                ulong epoch = await EpochAsync(cancellationToken).ConfigureAwait(false);
                var hashes = new ulong[keys.Count];
                int count = 0;
                foreach (string key in keys)
                {
                    ulong hash = XxHash64.Hash(key, epoch);
                    hashes[count++] = hash;
                    AddLocal(hash, epoch);
                }

                long position = await _journal!.AppendAsync(epoch, hashes, _filters.Options.Retention, cancellationToken).AsTask().Observed()
                    .WaitAsync(JournalTimeout, _time, cancellationToken).ConfigureAwait(false);
                if (position >= 0)
                {
                    await WaitForOthersAsync(epoch, position, cancellationToken).ConfigureAwait(false);
                    return;
                }

                await OpenAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            throw new GuardJournalException(Name, keys.Count, exception);
        }
    }

    private async ValueTask<ulong> EpochAsync(CancellationToken cancellationToken)
    {
        ulong epoch = _filters.Sieves.Seed;
        return epoch != 0 ? epoch : await OpenAsync(cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<ulong> OpenAsync(CancellationToken cancellationToken)
    {
        GuardJournalHead head = await _journal!.OpenAsync(cancellationToken).AsTask().Observed().WaitAsync(JournalTimeout, _time, cancellationToken).ConfigureAwait(false);
        if (_filters.Sieves.Seed != head.Epoch)
        {
            _filters.Reset(head.Epoch);
            _builder.Wake();
        }

        return head.Epoch;
    }

    /// <summary>
    /// Waits until no other node can refuse on knowledge from before the addition was acknowledged: all have confirmed it, or the time for
    /// which any earlier confirmation counts has passed.
    /// </summary>
    private async ValueTask WaitForOthersAsync(ulong epoch, long position, CancellationToken cancellationToken)
    {
        long acknowledged = _time.GetTimestamp();
        TimeSpan most = _filters.Options.Freshness + ClockSlack;
        TimeSpan pause = TimeSpan.FromMilliseconds(1);
        while (true)
        {
            TimeSpan left = most - _time.GetElapsedTime(acknowledged);
            if (left <= TimeSpan.Zero)
            {
                return;
            }

            try
            {
                if (await _journal!.IsConfirmedAsync(epoch, position, most, cancellationToken).AsTask().Observed().WaitAsync(left, _time, cancellationToken).ConfigureAwait(false))
                {
                    return;
                }
            }
            catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                // The addition is stored; without an answer the wait is merely the whole of it.
                pause = left;
            }

            await Task.Delay(pause < left ? pause : left, _time, cancellationToken).ConfigureAwait(false);
            pause *= 2;
        }
    }
}
