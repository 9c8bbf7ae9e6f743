using System.Collections.Concurrent;
using Resilience.Context;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>The local tier on S3-FIFO.</summary>
internal sealed class S3FifoTier : S3FifoMap<string, LocalEntry, S3FifoTier.Traits>, ILocalTier
{
    private readonly ConcurrentDictionary<string, S3FifoNode<string, LocalEntry>>.AlternateLookup<ReadOnlySpan<char>> _bySpan;

    /// <summary>Makes an empty tier.</summary>
    /// <param name="capacity">The most weight.</param>
    /// <param name="time">The time that entries die by.</param>
    public S3FifoTier(long capacity, TimeProvider time)
        : base(capacity, new CoarseClock(time)) => _bySpan = Map.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <inheritdoc/>
    public LocalEntry? Find(ReadOnlySpan<char> key) => _bySpan.TryGetValue(key, out S3FifoNode<string, LocalEntry>? node) ? Use(node) : null;

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, LocalEntry>> Entries()
    {
        foreach (KeyValuePair<string, S3FifoNode<string, LocalEntry>> pair in Map)
        {
            if (pair.Value.Value is { } entry)
            {
                yield return new KeyValuePair<string, LocalEntry>(pair.Key, entry);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Holds nothing but memory.
    }

    /// <summary>Local entries know all that is asked.</summary>
    internal readonly struct Traits : IEntryTraits<LocalEntry>
    {
        /// <inheritdoc/>
        public static long WeightOf(LocalEntry value) => value.Weight;

        /// <inheritdoc/>
        public static bool IsDead(LocalEntry value, long now) => value.DeadAt <= now;
    }
}
