using Microsoft.Extensions.Logging;
using Resilience.Caching.Hashing;
using Resilience.Context;

namespace Resilience.Caching.Guard;

/// <summary>
/// Builds the filters of a guard: at start, on its schedule, and when the one in force has been found overfull or wrong.
/// </summary>
/// <remarks>
/// The order is what the guard's law stands on: publish the filter under construction, so that every addition from now on reaches it;
/// replay the additions from before, whose rows may not have been committed yet; only then begin the snapshot; swap.
/// </remarks>
#pragma warning disable CA1001 // semaphores whose wait handle nobody asks for hold nothing to dispose of; Wake may come after the end
internal sealed class GuardBuilder(string name, GuardFilters filters, RecentAdditions recent, IGuardSource source, IGuardJournal? journal, TimeProvider time, ILogger logger)
#pragma warning restore CA1001
{
    private const int MaxAttemptsAtSize = 4;
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LastRetry = TimeSpan.FromMinutes(5);
    private readonly SemaphoreSlim _one = new(1, 1);
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly CoarseClock _clock = new(time);
    private long _keysLastTime;
    private long _built;
    private long _failed;

    /// <summary>Rebuilds that succeeded.</summary>
    public long Built => Volatile.Read(ref _built);

    /// <summary>Rebuilds that failed.</summary>
    public long Failed => Volatile.Read(ref _failed);

    /// <summary>What the last rebuild failed with, <see langword="null"/> when it succeeded.</summary>
    public Exception? LastError { get; private set; }

    /// <summary>Asks for a rebuild as soon as possible; returns at once.</summary>
    public void Wake()
    {
        if (_wake.CurrentCount == 0)
        {
            try
            {
                _wake.Release();
            }
            catch (SemaphoreFullException)
            {
                // Another caller has just woken it, which is all that is wanted.
            }
        }
    }

    /// <summary>Says that the filter in force has become overfull, and asks for a larger one.</summary>
    /// <param name="rate">Its estimated false-positive rate.</param>
    public void Outgrown(double rate)
    {
        GuardLog.Overfull(logger, name, filters.Sieves.Current?.Additions ?? 0, rate, filters.Options.FalsePositiveRate);
        Wake();
    }

    /// <summary>Builds for as long as the guard lives.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        TimeSpan retry = FirstRetry;
        TimeSpan doubt = TimeSpan.Zero;
        while (!cancellationToken.IsCancellationRequested)
        {
            TimeSpan delay;
            try
            {
                delay = filters.Options.Enabled ? await BuildAsync(cancellationToken).ConfigureAwait(false) : TimeSpan.Zero;
                delay = delay > TimeSpan.Zero ? delay : filters.Options.Rebuild * (0.9 + (Random.Shared.NextDouble() * 0.2));
                retry = FirstRetry;
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                delay = retry * (0.9 + (Random.Shared.NextDouble() * 0.2));
                retry = Longer(retry);
                GuardLog.RebuildFailed(logger, name, delay, exception);
            }

            bool isWoken = await SleepAsync(delay, cancellationToken).ConfigureAwait(false);
            if (isWoken && filters.State == GuardState.Contradicted)
            {
                // A source that lacks keys for good contradicts one filter after the other; it must not be read without a pause for that.
                await Task.Delay(doubt, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                doubt = Longer(doubt);
            }
            else
            {
                doubt = TimeSpan.Zero;
            }
        }
    }

    /// <summary>Builds one filter and puts it in force.</summary>
    /// <returns>Zero when it is in force; else how long to wait before it is worth trying again, because the journal is too young.</returns>
    public async Task<TimeSpan> BuildAsync(CancellationToken cancellationToken)
    {
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            filters.Announce(GuardState.Loading);
            TimeSpan wait = await BuildOneAsync(cancellationToken).ConfigureAwait(false);
            if (wait == TimeSpan.Zero)
            {
                LastError = null;
                Interlocked.Increment(ref _built);
            }

            return wait;
        }
        catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            LastError = exception;
            Interlocked.Increment(ref _failed);
            filters.Announce(GuardState.Failed);
            throw;
        }
        finally
        {
            _one.Release();
        }
    }

    private async Task<TimeSpan> BuildOneAsync(CancellationToken cancellationToken)
    {
        GuardJournalHead head = default;
        if (journal is not null)
        {
            head = await journal.OpenAsync(cancellationToken).AsTask().Observed().WaitAsync(BloomGuard.JournalTimeout, time, cancellationToken).ConfigureAwait(false);
            if (filters.Sieves.Seed != head.Epoch)
            {
                filters.Reset(head.Epoch);
            }

            // What was added before a journal began is in no journal, and its row may not be committed yet.
            TimeSpan young = filters.Options.Retention - head.Age;
            if (young > TimeSpan.Zero)
            {
                GuardLog.JournalLost(logger, name, young);
                return young + TimeSpan.FromMilliseconds(20);
            }
        }

        ulong seed = filters.Sieves.Seed;
        long size = Math.Max(filters.Options.ExpectedKeys, _keysLastTime + (_keysLastTime / 4));
        for (int attempt = 1; ; attempt++)
        {
            long startedAt = _clock.Milliseconds;
            var building = new SplitBlockBloomFilter(SplitBlockBloomFilter.BlocksFor(size, filters.Options.FalsePositiveRate));
            int flaws = filters.Begin(building, seed);
            try
            {
                if (journal is not null)
                {
                    await ReplayJournalAsync(building, head, cancellationToken).ConfigureAwait(false);
                }

                recent.Replay(building);
                long streamed = 0;
                await foreach (string key in source.ReadKeysAsync(cancellationToken).WithCancellation(cancellationToken).ConfigureAwait(false))
                {
                    building.Add(XxHash64.Hash(key, seed));
                    streamed++;
                }

                long keys = building.Additions;
                if (keys > size && attempt < MaxAttemptsAtSize)
                {
                    // More than planned: the false positives would be above the configured rate, so once more with room enough. A filter
                    // that is far too small takes most keys for known, so what was streamed is counted too.
                    size = Math.Max(keys, streamed) * 5 / 4;
                    continue;
                }

                if (!filters.Commit(building, startedAt, flaws))
                {
                    throw new InvalidOperationException($"Guard '{name}': the shared journal was lost while the filter was being built. It is built again over the new journal.");
                }

                _keysLastTime = keys;
                GuardLog.Ready(logger, name, keys, building.Bytes, _clock.Milliseconds - startedAt, building.EstimateFalsePositiveRate(1024));
                return TimeSpan.Zero;
            }
            finally
            {
                filters.Abort(building);
            }
        }
    }

    private async Task ReplayJournalAsync(SplitBlockBloomFilter building, GuardJournalHead head, CancellationToken cancellationToken)
    {
        long position = head.First;
        while (true)
        {
            GuardJournalBatch batch = await journal!.ReadAsync(head.Epoch, position, TimeSpan.Zero, cancellationToken).AsTask().Observed()
                .WaitAsync(BloomGuard.JournalTimeout, time, cancellationToken).ConfigureAwait(false);
            if (batch.IsLost)
            {
                throw new InvalidOperationException($"Guard '{name}': the shared journal was trimmed or lost while it was being replayed.");
            }

            foreach (ulong hash in batch.Hashes)
            {
                building.Add(hash);
            }

            position = batch.Position;
            if (batch.IsEnd)
            {
                return;
            }
        }
    }

    private static TimeSpan Longer(TimeSpan pause) => TimeSpan.FromTicks(Math.Clamp(pause.Ticks * 2, FirstRetry.Ticks, LastRetry.Ticks));

    /// <summary>Sleeps until a time has passed or somebody wakes it.</summary>
    /// <returns>Whether it was woken.</returns>
    private async Task<bool> SleepAsync(TimeSpan delay, CancellationToken cancellationToken)
    {
        using var timer = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task due = Task.Delay(delay, time, timer.Token);
        Task woken = _wake.WaitAsync(timer.Token);
        bool isWoken = await Task.WhenAny(due, woken).ConfigureAwait(false) == woken;
        await timer.CancelAsync().ConfigureAwait(false);
        return isWoken;
    }
}
