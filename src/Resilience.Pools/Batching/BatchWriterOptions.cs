using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Pools;

/// <summary>The settings of one batch writer: configuration section <c>Resilience:Batches:&lt;name&gt;</c>. Read at start.</summary>
public sealed class BatchWriterOptions : ISettings
{
    /// <summary>How long a sink may take to heed its token once the drain's time is up.</summary>
    internal static readonly TimeSpan GiveUpGrace = TimeSpan.FromMilliseconds(250);

    /// <summary>The most items in one batch. Default 500, from 1 to 1,000,000, not above <see cref="Capacity"/>.</summary>
    [Range(1, 1_000_000)]
    public int MaxBatch { get; set; } = 500;

    /// <summary>How long an item waits for others before it is written in a batch that is not full. Default 1 s, from 1 ms to 10 minutes.</summary>
    [TimeRange("00:00:00.001", "00:10:00")]
    public TimeSpan FlushInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How many items may wait in memory. Default 10,000, from 1 to 100,000,000.</summary>
    [Range(1, 100_000_000)]
    public int Capacity { get; set; } = 10_000;

    /// <summary>What happens to an item when there is no room. Default <see cref="BatchFullMode.Wait"/>.</summary>
    public BatchFullMode FullMode { get; set; }

    /// <summary>The pause after a first failed write; it doubles up to <see cref="MaxRetryDelay"/>, jittered down by up to a half. Default 100 ms, from 1 ms to 1 minute. Not used with a pipeline.</summary>
    [TimeRange("00:00:00.001", "00:01:00")]
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest pause between attempts. Default 5 s, from 1 ms to 10 minutes, not below <see cref="RetryDelay"/>.</summary>
    [TimeRange("00:00:00.001", "00:10:00")]
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The name of a Polly pipeline, from the container's <c>ResiliencePipelineProvider&lt;string&gt;</c>, that each write goes through.
    /// What it gives up on is abandoned. Default <see langword="null"/>: a batch is tried until it succeeds or the writer must stop.
    /// </summary>
    public string? Pipeline { get; set; }

    /// <summary>How long the stop of the host waits for what was accepted to be written. Default 10 s, from 0 to 10 minutes.</summary>
    [TimeRange("00:00:00", "00:10:00")]
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (MaxBatch > Capacity)
        {
            problems.Add(nameof(MaxBatch), MaxBatch, $"must not be above Capacity ({Capacity})");
        }

        if (MaxRetryDelay < RetryDelay)
        {
            problems.Add(nameof(MaxRetryDelay), MaxRetryDelay, $"must not be below RetryDelay ({RetryDelay:c})");
        }
    }

    internal BatchWriterOptions Copy() => (BatchWriterOptions)MemberwiseClone();
}

/// <summary>What happens to an item when a batch writer's queue is full.</summary>
public enum BatchFullMode
{
    /// <summary><see cref="BatchWriter{T}.WriteAsync(T, CancellationToken)"/> waits for room; <see cref="BatchWriter{T}.TryWrite"/> refuses.</summary>
    Wait,

    /// <summary>The new item is not accepted, and counted as dropped.</summary>
    DropNewest,

    /// <summary>The oldest waiting item makes room, and is counted as dropped.</summary>
    DropOldest,
}
