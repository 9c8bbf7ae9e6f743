using FsCheck;
using FsCheck.Fluent;

namespace Resilience.Pools.Tests.Waiting;

public sealed class DeadlineQueueTests
{
    /// <summary>Whatever comes and goes, the earliest is the earliest, and each item leaves once.</summary>
    [Fact]
    public void Earliest_AnyComingAndGoing_IsTheLeastOfThoseThatAreIn()
    {
        Prop.ForAll<int[]>(steps =>
        {
            var queue = new DeadlineQueue<Item>();
            var model = new List<Item>();
            foreach (int step in steps)
            {
                if (step % 3 == 0 && model.Count > 0)
                {
                    Item leaving = model[Math.Abs(step) % model.Count];
                    model.Remove(leaving);
                    queue.Remove(leaving);
                    queue.Remove(leaving);
                }
                else
                {
                    var item = new Item { Due = Math.Abs((long)step) };
                    model.Add(item);
                    queue.Add(item);
                }

                long least = model.Count == 0 ? long.MaxValue : model.Min(item => item.Due);
                if (queue.EarliestDue != least || (queue.Earliest?.Due ?? long.MaxValue) != least)
                {
                    return false;
                }
            }

            while (queue.Earliest is { } first)
            {
                queue.Remove(first);
                if (!model.Remove(first))
                {
                    return false;
                }
            }

            return model.Count == 0;
        }).QuickCheckThrowOnFailure();
    }

    private sealed class Item : IDeadlined<Item>
    {
        public long Due { get; init; }

        public int HeapIndex { get; set; } = -1;

        public Item? DueBefore { get; set; }

        public Item? DueAfter { get; set; }
    }
}
