using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Caching.Tests.Local.S3Fifo;

/// <summary>Checks that queues, links, weights and the dictionary of an engine at rest tell one story.</summary>
internal static class S3FifoIntegrity
{
    public static void Check(S3FifoTier tier) =>
        tier.Inspect((policy, nodes) =>
        {
            var linked = new HashSet<S3FifoNode>();
            Walk(policy.Small, Queue.Small, linked);
            Walk(policy.Main, Queue.Main, linked);
            Assert.Equal(nodes.Count, linked.Count);
            Assert.Equal(nodes.Count, policy.Count);
            Assert.Equal(nodes.Count, nodes.Select(node => node.Key).Distinct(StringComparer.Ordinal).Count());
            foreach (S3FifoNode node in nodes)
            {
                Assert.Equal(KeyHash.Of(node.Key), node.Hash);
                Assert.Contains(node, linked);
                Assert.NotNull(node.Value);
                Assert.InRange(node.Frequency, 0, S3FifoNode.MaxFrequency);
                Assert.False(node.IsPending);
            }

            Assert.True(policy.Weight <= policy.Capacity, $"weight {policy.Weight}, capacity {policy.Capacity}");
            Assert.True(policy.GhostCapacity <= 64 + (16 * Math.Max(64, policy.Capacity)), $"ghost {policy.GhostCapacity}");
        });

    private static void Walk(S3FifoQueue queue, Queue name, HashSet<S3FifoNode> linked)
    {
        long weight = 0;
        long count = 0;
        S3FifoNode? newer = null;
        for (S3FifoNode? node = queue.Head; node is not null; newer = node, node = node.TowardsTail)
        {
            Assert.True(linked.Add(node), "a node stands in two places");
            Assert.Equal(name, node.Queue);
            Assert.Same(newer, node.TowardsHead);
            Assert.Equal(node.Value!.Weight, node.Weight);
            weight += node.Weight;
            count++;
        }

        Assert.Same(newer, queue.Tail);
        Assert.Equal(weight, queue.Weight);
        Assert.Equal(count, queue.Count);
    }
}

/// <summary>An entry that knows whose it is.</summary>
internal sealed class Item : LocalEntry
{
    public Item(int id, long weight = 1, long deadAt = long.MaxValue)
    {
        Id = id;
        Weight = weight;
        DeadAt = deadAt;
    }

    public int Id { get; }
}
