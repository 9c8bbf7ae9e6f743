using Microsoft.Extensions.Logging;
using Resilience.Context;

namespace Resilience.Caching.Guard;

/// <summary>
/// Follows the shared journal: takes over what other nodes add, and thereby proves again and again that this node may refuse.
/// </summary>
/// <remarks>
/// A confirmation counts from before the read was sent, never from its answer: what was acknowledged in between may be missing.
/// </remarks>
internal sealed class GuardFollower(string name, GuardFilters filters, GuardBuilder builder, IGuardJournal journal, TimeProvider time, ILogger logger)
{
    private readonly CoarseClock _clock = new(time);
    private ulong _epoch;
    private long _position;
    private int _failures;

    /// <summary>What the last access failed with, <see langword="null"/> when it succeeded.</summary>
    public Exception? LastError { get; private set; }

    /// <summary>Follows for as long as the guard lives.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            TimeSpan pause = filters.Options.Freshness / 4;
            try
            {
                bool isEnd = await StepAsync(cancellationToken).ConfigureAwait(false);
                Recovered();
                if (isEnd)
                {
                    await journal.WaitAsync(pause, cancellationToken).ConfigureAwait(false);
                }
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                if (_failures++ == 0)
                {
                    GuardLog.JournalFailed(logger, name, exception);
                }

                LastError = exception;
                await Task.Delay(pause, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>One access.</summary>
    /// <returns>Whether there is nothing more to read for now.</returns>
    internal async Task<bool> StepAsync(CancellationToken cancellationToken)
    {
        ulong epoch = filters.Sieves.Seed;
        if (epoch == 0 || epoch != _epoch)
        {
            // Opened by whoever comes first, the builder or an addition; positions before the head are replayed into the filter being built.
            GuardJournalHead head = await Bounded(journal.OpenAsync(cancellationToken)).ConfigureAwait(false);
            if (filters.Sieves.Seed != head.Epoch)
            {
                filters.Reset(head.Epoch);
                builder.Wake();
            }

            (_epoch, _position) = (head.Epoch, head.First);
        }

        long startedAt = _clock.Milliseconds;
        Sieves before = filters.Sieves;
        TimeSpan lease = filters.Options.Freshness + BloomGuard.ClockSlack;
        GuardJournalBatch batch = await Bounded(journal.ReadAsync(_epoch, _position, lease, cancellationToken)).ConfigureAwait(false);
        if (batch.IsLost)
        {
            filters.Reset(0);
            if (!batch.IsBehind)
            {
                await Bounded(new ValueTask<bool>(AbandonAsync(_epoch, cancellationToken))).ConfigureAwait(false);
            }

            _epoch = 0;
            builder.Wake();
            return false;
        }

        foreach (ulong hash in batch.Hashes)
        {
            if (filters.Add(hash, _epoch) is { } overfull)
            {
                builder.Outgrown(overfull);
            }
        }

        _position = batch.Position;
        if (batch.IsEnd && before.Seed == _epoch)
        {
            filters.Confirm(_epoch, startedAt);
        }

        return batch.IsEnd && batch.Hashes.Count == 0;
    }

    private async Task<bool> AbandonAsync(ulong epoch, CancellationToken cancellationToken)
    {
        await journal.AbandonAsync(epoch, cancellationToken).ConfigureAwait(false);
        return true;
    }

    private void Recovered()
    {
        if (_failures > 0)
        {
            GuardLog.JournalRecovered(logger, name, _failures);
            _failures = 0;
        }

        LastError = null;
    }

    /// <summary>A journal that does not answer within twice the freshness is taken for failed; its answer, should it come, is ignored.</summary>
    private Task<T> Bounded<T>(ValueTask<T> access) => access.AsTask().Observed().WaitAsync(filters.Options.Freshness * 2, time);
}
