using Microsoft.Extensions.Logging;
using Polly;

namespace Resilience.Pools;

/// <summary>
/// Gets one batch after the other written, however often the sink fails, or hands it to the abandon callback when there is no more time.
/// Used by one loop; the counts may be read from anywhere.
/// </summary>
internal sealed class BatchSink<T>(
    string name,
    Func<IReadOnlyList<T>, CancellationToken, ValueTask> write,
    Action<IReadOnlyList<T>, Exception?>? onAbandoned,
    ResiliencePipeline? pipeline,
    BatchWriterOptions options,
    TimeProvider time,
    ILogger logger,
    BatchMetrics metrics,
    CancellationToken giveUp)
{
    private long _written;
    private long _abandoned;

    public long Written => Interlocked.Read(ref _written);

    public long Abandoned => Interlocked.Read(ref _abandoned);

    /// <summary>Writes or abandons a batch.</summary>
    /// <returns>An empty list for the next one: the same, unless a sink that did not heed its token still has that.</returns>
    public async Task<List<T>> WriteAsync(List<T> batch)
    {
        Exception? last = null;
        for (int failures = 0; !giveUp.IsCancellationRequested;)
        {
            long started = time.GetTimestamp();
            Task? attempt = null;
            try
            {
                attempt = AttemptAsync(batch).AsTask();
                await attempt.WaitAsync(giveUp).ConfigureAwait(false);
                NoteWritten(batch.Count, failures, time.GetElapsedTime(started));
                batch.Clear();
                return batch;
            }
            catch (Exception exception)
            {
                last = exception;
                metrics.Wrote(name, batch.Count, time.GetElapsedTime(started), succeeded: false);
                if (giveUp.IsCancellationRequested && attempt is not null)
                {
                    // It may have ended in the same moment: what it ended with counts.
                    await LetEndAsync(attempt).ConfigureAwait(false);
                    if (attempt.IsCompletedSuccessfully)
                    {
                        NoteWritten(batch.Count, failures, time.GetElapsedTime(started));
                        batch.Clear();
                        return batch;
                    }

                    if (!attempt.IsCompleted)
                    {
                        // What becomes of it nobody can know; it is told as abandoned, and the list stays with whoever still reads it.
                        Abandon(batch, exception);
                        return [];
                    }
                }

                if (pipeline is not null)
                {
                    break;
                }

                if (++failures == 1)
                {
                    PoolsLog.BatchFailed(logger, name, batch.Count, exception);
                }

                await PauseAsync(failures).ConfigureAwait(false);
            }
        }

        Abandon(batch, last);
        batch.Clear();
        return batch;
    }

    private ValueTask AttemptAsync(List<T> batch) => pipeline is null
        ? write(batch, giveUp)
        : pipeline.ExecuteAsync(static (work, token) => work.Write(work.Batch, token), (Write: write, Batch: batch), giveUp);

    /// <summary>A sink whose token was cancelled gets a moment to say how it ended, and no more: a drain must end.</summary>
    private async Task LetEndAsync(Task attempt)
    {
        await attempt.WaitAsync(BatchWriterOptions.GiveUpGrace, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        AbandonedTask.Observe(attempt);
    }

    private void NoteWritten(int count, int failures, TimeSpan took)
    {
        metrics.Wrote(name, count, took, succeeded: true);
        metrics.Ended(name, count, "written");
        if (failures > 0)
        {
            PoolsLog.BatchRecovered(logger, name, failures);
        }

        Interlocked.Add(ref _written, count);
    }

    private async Task PauseAsync(int failures)
    {
        double pause = CreateCircuit.Backoff(failures, options.RetryDelay.TotalMilliseconds, options.MaxRetryDelay.TotalMilliseconds, Random.Shared.NextDouble());
        await Task.Delay(TimeSpan.FromMilliseconds(pause), time, giveUp).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private void Abandon(List<T> batch, Exception? exception)
    {
        Interlocked.Add(ref _abandoned, batch.Count);
        metrics.Ended(name, batch.Count, "abandoned");
        PoolsLog.BatchAbandoned(logger, name, batch.Count, exception);
        try
        {
            onAbandoned?.Invoke(batch, exception);
        }
        catch (Exception failure)
        {
            // The loop must go on for the items that come after.
            PoolsLog.AbandonCallbackFailed(logger, name, failure);
        }
    }
}
