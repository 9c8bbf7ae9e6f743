using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Polly;
using Polly.Retry;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Batching;

public sealed class BatchWriterTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly ConcurrentQueue<int[]> _batches = new();

    [Fact]
    public async Task WriteAsync_BatchFull_WritesAtOnce()
    {
        await using BatchWriter<int> writer = Make(new() { MaxBatch = 3 });
        for (int i = 0; i < 3; i++)
        {
            await writer.WriteAsync(i);
        }

        await Eventually.TrueAsync(() => writer.Written == 3, "the full batch");
        Assert.Equal([0, 1, 2], Assert.Single(_batches));
    }

    [Fact]
    public async Task WriteAsync_BatchNotFull_WritesAfterTheInterval()
    {
        await using BatchWriter<int> writer = Make(new() { MaxBatch = 100, FlushInterval = TimeSpan.FromSeconds(5) });
        await writer.WriteAsync(1);
        await _time.WaitForTimersAsync();
        _time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.Empty(_batches);
        _time.Advance(TimeSpan.FromSeconds(0.2));
        await Eventually.TrueAsync(() => writer.Written == 1, "the interval's batch");
    }

    [Fact]
    public async Task FlushAsync_SomeWaiting_CompletesWhenTheyAreWritten()
    {
        await using BatchWriter<int> writer = Make(new() { MaxBatch = 4 });
        for (int i = 0; i < 10; i++)
        {
            await writer.WriteAsync(i);
        }

        await writer.FlushAsync();
        Assert.Equal(10, writer.Written);
        Assert.Equal(Enumerable.Range(0, 10), _batches.SelectMany(batch => batch));
        await writer.FlushAsync();
    }

    [Fact]
    public async Task DrainAsync_ItemsWaiting_WritesAllOfThem()
    {
        BatchWriter<int> writer = Make(new() { MaxBatch = 7 });
        for (int i = 0; i < 1000; i++)
        {
            await writer.WriteAsync(i);
        }

        BatchDrainResult result = await writer.DrainAsync();
        Assert.Equal(new BatchDrainResult(1000, 0, 0), result);
        Assert.False(writer.TryWrite(1));
        await Assert.ThrowsAsync<BatchWriterClosedException>(async () => await writer.WriteAsync(1));
    }

    [Fact]
    public async Task WriteAsync_QueueFull_WaitsForRoomAndLosesNothing()
    {
        var gate = new TaskCompletionSource();
        int held = 0;
        await using BatchWriter<int> writer = Make(new() { MaxBatch = 2, Capacity = 4 }, write: async (batch, _) =>
        {
            Volatile.Write(ref held, batch.Count);
            await gate.Task;
            _batches.Enqueue([.. batch]);
        });
        int next = 0;
        await Eventually.TrueAsync(() => !writer.TryWrite(next++) && writer.Queued == 4 && Volatile.Read(ref held) > 0, "a full queue behind a batch in the sink's hands");
        ValueTask pending = writer.WriteAsync(99);
        Assert.False(pending.IsCompleted);
        using var cancelled = new CancellationTokenSource();
        ValueTask given = writer.WriteAsync(100, cancelled.Token);
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await given);
        gate.SetResult();
        await pending;
        await writer.FlushAsync();
        Assert.Equal(writer.Accepted, writer.Written);
        Assert.Contains(99, _batches.SelectMany(batch => batch));
        Assert.DoesNotContain(100, _batches.SelectMany(batch => batch));
    }

    [Fact]
    public async Task TryWrite_DropOldest_KeepsTheNewestAndCounts()
    {
        var gate = new TaskCompletionSource();
        BatchWriter<int> writer = Make(new() { MaxBatch = 1, Capacity = 3, FullMode = BatchFullMode.DropOldest }, write: async (batch, _) =>
        {
            await gate.Task;
            _batches.Enqueue([.. batch]);
        });
        Assert.True(writer.TryWrite(0));
        await Eventually.TrueAsync(() => writer.Queued == 0, "the first in the sink's hands");
        for (int i = 1; i <= 10; i++)
        {
            Assert.True(writer.TryWrite(i));
        }

        gate.SetResult();
        Assert.Equal(new BatchDrainResult(4, 0, 7), await writer.DrainAsync());
        Assert.Equal([0, 8, 9, 10], _batches.SelectMany(batch => batch));
    }

    [Fact]
    public async Task TryWrite_DropNewest_RefusesAndCounts()
    {
        var gate = new TaskCompletionSource();
        BatchWriter<int> writer = Make(new() { MaxBatch = 1, Capacity = 2, FullMode = BatchFullMode.DropNewest }, write: async (_, _) => await gate.Task);
        Assert.True(writer.TryWrite(0));
        await Eventually.TrueAsync(() => writer.Queued == 0, "the first in the sink's hands");
        Assert.True(writer.TryWrite(1));
        Assert.True(writer.TryWrite(2));
        Assert.False(writer.TryWrite(3));
        await writer.WriteAsync(4);
        Assert.Equal(2, writer.Dropped);
        gate.SetResult();
        Assert.Equal(new BatchDrainResult(3, 0, 0), await writer.DrainAsync());
    }

    [Fact]
    public async Task Write_SinkFails_IsTriedAgainUntilItSucceeds()
    {
        int attempts = 0;
        using var log = new LogCollector();
        await using BatchWriter<int> writer = Make(new() { MaxBatch = 1 }, log: log, write: (batch, _) => ++attempts <= 3 ? throw new IOException("disk") : Take(batch));
        await writer.WriteAsync(5);
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return writer.Written == 1;
        }, "the batch");
        Assert.Equal(4, attempts);
        Assert.Equal(0, writer.Abandoned);
        Assert.Single(log.WithId(2020));
        Assert.Single(log.WithId(2021));
    }

    [Fact]
    public async Task DrainAsync_SinkKeepsFailing_HandsEverythingToTheAbandonCallback()
    {
        var abandoned = new ConcurrentQueue<int>();
        var writer = new BatchWriter<int>("test", (_, _) => throw new IOException("disk"), new() { MaxBatch = 10, RetryDelay = TimeSpan.FromMilliseconds(1), MaxRetryDelay = TimeSpan.FromMilliseconds(1) },
            (batch, cause) =>
            {
                Assert.True(cause is null or IOException);
                foreach (int item in batch)
                {
                    abandoned.Enqueue(item);
                }
            }, timeProvider: _time);
        for (int i = 0; i < 35; i++)
        {
            await writer.WriteAsync(i);
        }

        Assert.Equal(new BatchDrainResult(0, 35, 0), await DrainInVainAsync(writer));
        Assert.Equal(Enumerable.Range(0, 35), abandoned);
    }

    [Fact]
    public async Task DrainAsync_SinkHangs_ItsTokenEndsIt()
    {
        BatchWriter<int> writer = Make(new() { MaxBatch = 1 }, write: async (_, token) => await Task.Delay(Timeout.Infinite, token));
        await writer.WriteAsync(1);
        Assert.Equal(new BatchDrainResult(0, 1, 0), await DrainInVainAsync(writer));
    }

    /// <summary>What was written must not be handed over as abandoned: whoever keeps it elsewhere would have it twice.</summary>
    [Fact]
    public async Task DrainAsync_SinkEndsInTheMomentInWhichItIsGivenUp_WhatItWroteCountsAsWritten()
    {
        var sink = new TaskCompletionSource();
        using var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listening) =>
            {
                if (instrument.Name == "resilience.batch.write_time")
                {
                    listening.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<double>((_, _, tags, _) =>
        {
            // The wait for the sink has failed, and how the sink has ended has not been looked at.
            if (tags.Contains(new KeyValuePair<string, object?>("resilience.batch.name", "moment")))
            {
                sink.TrySetResult();
            }
        });
        listener.Start();
        int abandoned = 0;
        var writer = new BatchWriter<int>("moment", (_, _) => new ValueTask(sink.Task), new() { MaxBatch = 1 }, (batch, _) => abandoned += batch.Count, timeProvider: _time);
        await writer.WriteAsync(1);
        await Eventually.TrueAsync(() => writer.Queued == 0, "the batch in the sink's hands");
        Assert.Equal(new BatchDrainResult(1, 0, 0), await DrainInVainAsync(writer));
        Assert.Equal(0, abandoned);
    }

    [Fact]
    public async Task DrainAsync_SinkHeedsNoToken_EndsAndHandsOverEveryItem()
    {
        var abandoned = new ConcurrentQueue<int>();
        IReadOnlyList<int>? kept = null;
        var never = new TaskCompletionSource();
        var writer = new BatchWriter<int>("test", (batch, _) =>
        {
            kept = batch;
            return new ValueTask(never.Task);
        }, new() { MaxBatch = 2 }, (batch, _) =>
        {
            foreach (int item in batch)
            {
                abandoned.Enqueue(item);
            }
        }, timeProvider: _time);
        for (int i = 0; i < 5; i++)
        {
            await writer.WriteAsync(i);
        }

        await Eventually.TrueAsync(() => kept is not null, "the first batch in the sink's hands");
        Assert.Equal(new BatchDrainResult(0, 5, 0), await DrainInVainAsync(writer));
        Assert.Equal(Enumerable.Range(0, 5), abandoned);

        // It still has the list, and what is in it must not change under its hands.
        Assert.Equal([0, 1], kept);
        never.SetResult();
    }

    [Fact]
    public async Task WriteAsync_WaitedThroughALongWrite_DoesNotWaitForAnotherInterval()
    {
        var gate = new TaskCompletionSource();
        int writes = 0;
        await using BatchWriter<int> writer = Make(new() { MaxBatch = 100, FlushInterval = TimeSpan.FromSeconds(5) }, write: async (batch, _) =>
        {
            if (Interlocked.Increment(ref writes) == 1)
            {
                await gate.Task;
            }

            _batches.Enqueue([.. batch]);
        });
        await writer.WriteAsync(1);
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return Volatile.Read(ref writes) == 1;
        }, "the first batch in the sink's hands");
        await writer.WriteAsync(2);
        _time.Advance(TimeSpan.FromSeconds(6));
        gate.SetResult();
        await Eventually.TrueAsync(() => writer.Written == 2, "the second batch, though the clock stands still");
    }

    [Fact]
    public async Task Write_WithPipeline_AbandonsWhatThePipelineGivesUpOn()
    {
        int attempts = 0;
        int abandoned = 0;
        ResiliencePipeline pipeline = new ResiliencePipelineBuilder().AddRetry(new RetryStrategyOptions { MaxRetryAttempts = 2, Delay = TimeSpan.Zero }).Build();
        var writer = new BatchWriter<int>("test", (batch, _) => batch[0] == 1 ? throw new IOException($"{++attempts}") : default, new() { MaxBatch = 1 }, (batch, _) => abandoned += batch.Count, pipeline);
        await writer.WriteAsync(1);
        await writer.WriteAsync(2);
        Assert.Equal(new BatchDrainResult(1, 1, 0), await writer.DrainAsync());
        Assert.Equal(3, attempts);
        Assert.Equal(1, abandoned);
    }

    [Fact]
    public async Task Stress_WritersFlushersFailuresAndDrain_AcceptedIsWrittenPlusAbandonedPlusDropped()
    {
        foreach (BatchFullMode mode in Enum.GetValues<BatchFullMode>())
        {
            var seen = new ConcurrentDictionary<long, int>();
            long ids = 0;
            long accepted = 0;
            var writer = new BatchWriter<long>("stress", async (batch, _) =>
            {
                await Task.Yield();
                if (Random.Shared.Next(20) == 0)
                {
                    throw new IOException();
                }

                foreach (long id in batch)
                {
                    seen.AddOrUpdate(id, 1, static (_, count) => count + 1);
                }
            }, new() { MaxBatch = 16, Capacity = 64, FullMode = mode, FlushInterval = TimeSpan.FromMilliseconds(5), RetryDelay = TimeSpan.FromMilliseconds(1), MaxRetryDelay = TimeSpan.FromMilliseconds(1) });
            await new StressRunner { Workers = 8, MaxIterations = 20_000 }.RunAsync(async worker =>
            {
                switch (worker.Random.Next(200))
                {
                    case 0:
                        await writer.FlushAsync();
                        break;
                    case < 50:
                        await writer.WriteAsync(Interlocked.Increment(ref ids));
                        break;
                    default:
                        if (writer.TryWrite(Interlocked.Increment(ref ids)))
                        {
                            Interlocked.Increment(ref accepted);
                        }

                        break;
                }
            });
            BatchDrainResult result = await writer.DrainAsync();
            Assert.Equal(writer.Accepted, result.Written + result.Abandoned + result.Dropped);
            Assert.Equal(0, result.Abandoned);
            Assert.Equal(result.Written, seen.Count);
            Assert.All(seen.Values, count => Assert.Equal(1, count));
            Assert.Equal(0, writer.Queued);
        }
    }

    /// <summary>A drain whose time runs out.</summary>
    private async Task<BatchDrainResult> DrainInVainAsync(BatchWriter<int> writer)
    {
        Task<BatchDrainResult> drain = writer.DrainAsync(TimeSpan.FromSeconds(5));
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(500), () => drain.IsCompleted, "the end of the drain");
        return await drain;
    }

    private BatchWriter<int> Make(BatchWriterOptions options, Func<IReadOnlyList<int>, CancellationToken, ValueTask>? write = null, LogCollector? log = null) =>
        new("test", write ?? ((batch, _) => Take(batch)), options, timeProvider: _time, logger: log?.CreateLogger("test"));

    private ValueTask Take(IReadOnlyList<int> batch)
    {
        _batches.Enqueue([.. batch]);
        return default;
    }
}
