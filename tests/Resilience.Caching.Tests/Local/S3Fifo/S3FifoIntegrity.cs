using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Caching.Tests.Local.S3Fifo;

/// <summary>Checks that queues, links, weights and the dictionary of an engine at rest tell one story.</summary>
internal static class S3FifoIntegrity
{
    public static void Check<TKey, TValue, TTraits>(S3FifoMap<TKey, TValue, TTraits> map)
        where TKey : notnull
        where TValue : class
        where TTraits : IEntryTraits<TValue> =>
        map.Inspect((policy, dictionary) =>
        {
            var linked = new HashSet<S3FifoNode<TKey, TValue>>();
            Walk<TKey, TValue, TTraits>(policy.Small, Queue.Small, linked);
            Walk<TKey, TValue, TTraits>(policy.Main, Queue.Main, linked);
            Assert.Equal(dictionary.Count, linked.Count);
            Assert.Equal(dictionary.Count, policy.Count);
            foreach ((TKey key, S3FifoNode<TKey, TValue> node) in dictionary)
            {
                Assert.Equal(key, node.Key);
                Assert.Contains(node, linked);
                Assert.NotNull(node.Value);
                Assert.InRange(node.Frequency, 0, S3FifoNode<TKey, TValue>.MaxFrequency);
                Assert.False(node.IsPending);
            }

            Assert.True(policy.Weight <= policy.Capacity, $"weight {policy.Weight}, capacity {policy.Capacity}");
            Assert.True(policy.GhostCapacity <= 64 + (16 * Math.Max(64, policy.Capacity)), $"ghost {policy.GhostCapacity}");
        });

    private static void Walk<TKey, TValue, TTraits>(S3FifoQueue<TKey, TValue> queue, Queue name, HashSet<S3FifoNode<TKey, TValue>> linked)
        where TValue : class
        where TTraits : IEntryTraits<TValue>
    {
        long weight = 0;
        long count = 0;
        S3FifoNode<TKey, TValue>? newer = null;
        for (S3FifoNode<TKey, TValue>? node = queue.Head; node is not null; newer = node, node = node.TowardsTail)
        {
            Assert.True(linked.Add(node), "a node stands in two places");
            Assert.Equal(name, node.Queue);
            Assert.Same(newer, node.TowardsHead);
            Assert.Equal(TTraits.WeightOf(node.Value!), node.Weight);
            weight += node.Weight;
            count++;
        }

        Assert.Same(newer, queue.Tail);
        Assert.Equal(weight, queue.Weight);
        Assert.Equal(count, queue.Count);
    }
}

/// <summary>A value with a weight and a time to die.</summary>
internal sealed record Item(int Id, long Weight = 1, long DeadAt = long.MaxValue)
{
    internal readonly struct Traits : IEntryTraits<Item>
    {
        public static long WeightOf(Item value) => value.Weight;

        public static bool IsDead(Item value, long now) => value.DeadAt <= now;
    }
}
