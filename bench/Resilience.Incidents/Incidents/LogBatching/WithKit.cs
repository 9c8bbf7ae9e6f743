using Resilience.Pools;

namespace Resilience.Incidents.Incidents.LogBatching;

/// <summary>The batch writer: entries are handed over, a thousand are flushed at a time, and what was accepted is written before the host ends.</summary>
internal sealed class WithKit(BatchWriter<AuditEntry> writer)
{
    public static void Configure(BatchWriterOptions options)
    {
        options.MaxBatch = 1_000;
        options.Capacity = 10_000;
        options.FlushInterval = TimeSpan.FromMilliseconds(100);
    }

    public static ValueTask WriteBatchAsync(AuditFile file, IReadOnlyList<AuditEntry> entries)
    {
        file.Append(entries);
        return ValueTask.CompletedTask;
    }

    public ValueTask WriteAsync(AuditEntry entry) => writer.WriteAsync(entry);
}
