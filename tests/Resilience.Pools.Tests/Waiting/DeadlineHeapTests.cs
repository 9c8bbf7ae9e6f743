using FsCheck;
using FsCheck.Fluent;

namespace Resilience.Pools.Tests.Waiting;

public sealed class DeadlineHeapTests
{
    /// <summary>Whatever comes and goes: the earliest is the earliest, every item knows its place, and each leaves once.</summary>
    [Fact]
    public void AnyComingAndGoing_EarliestIsTheLeastAndItemsComeOutInOrder() =>
        Prop.ForAll(Gen.Choose(0, 9_999).ArrayOf().ToArbitrary(), steps =>
        {
            var heap = new DeadlineHeap<Item>();
            var model = new List<Item>();
            foreach (int step in steps)
            {
                if (step % 4 == 0 && model.Count > 0)
                {
                    Item leaving = model[step / 4 % model.Count];
                    model.Remove(leaving);
                    heap.Remove(leaving);
                    heap.Remove(leaving); // once is enough, twice is harmless
                }
                else
                {
                    var item = new Item { Due = step / 4 };
                    model.Add(item);
                    heap.Add(item);
                }

                Assert.Equal(model.Count, heap.Count);
                Assert.Equal(model.Select(item => item.Due).DefaultIfEmpty(long.MaxValue).Min(), heap.EarliestDue);
                Assert.Equal(Enumerable.Range(0, model.Count), model.Select(item => item.HeapIndex).Order());
            }

            foreach (long due in model.Select(item => item.Due).Order())
            {
                Item first = heap.Earliest!;
                Assert.Equal(due, first.Due);
                heap.Remove(first);
                Assert.Equal(-1, first.HeapIndex);
                Assert.True(model.Remove(first));
            }

            Assert.Null(heap.Earliest);
            Assert.Equal(long.MaxValue, heap.EarliestDue);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(200).WithEndSize(150));

    [Fact]
    public void Remove_ItemThatWasNeverIn_ChangesNothing()
    {
        var heap = new DeadlineHeap<Item>();
        var inside = new Item { Due = 1 };
        heap.Add(inside);
        heap.Remove(new Item { Due = 0 });
        Assert.Same(inside, heap.Earliest);
        Assert.Equal(1, heap.Count);
    }

    private sealed class Item : IDeadlined
    {
        public long Due { get; init; }

        public int HeapIndex { get; set; } = -1;
    }
}
