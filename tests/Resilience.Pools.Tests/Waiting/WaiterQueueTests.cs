using FsCheck;
using FsCheck.Fluent;
using Resilience.Context;

namespace Resilience.Pools.Tests.Waiting;

/// <summary>The queue of waiters beside a plain list that says in a few lines who is next.</summary>
public sealed class WaiterQueueTests
{
    private const int FairGrantEvery = 8;

    [Theory]
    [InlineData(WaiterOrder.Fifo)]
    [InlineData(WaiterOrder.AdaptiveLifo)]
    public void AnyComingAndGoing_IsWhatAPlainListSays(WaiterOrder order)
    {
        var options = new PoolOptions { WaiterOrder = order, CoDelInterval = TimeSpan.FromMilliseconds(50) };
        Prop.ForAll(Gen.Choose(0, 999_999).ArrayOf().ToArbitrary(), steps =>
        {
            var queue = new WaiterQueue<Resource>();
            var model = new Model(options);
            long now = 1_000;
            foreach (int step in steps)
            {
                now += step / 10 % 30;
                Step(queue, model, step, now, options);
                Assert.Equal(model.Waiting.Count, queue.Count);
                Assert.Equal(model.IsStanding(now), queue.IsStanding(now, options));
                Assert.Equal(model.Waiting.Select(waiter => waiter.Due).DefaultIfEmpty(long.MaxValue).Min(), queue.EarliestDue);
            }

            while (queue.DequeueAny() is { } left)
            {
                Assert.True(model.Waiting.Remove(left));
                Assert.False(left.IsPending);
            }

            Assert.Empty(model.Waiting);
            Assert.Equal(0, queue.Count);
            Assert.Null(queue.Dequeue(now, options));
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(200).WithEndSize(120));
    }

    [Fact]
    public void Dequeue_LowPriorityBehindAStreamOfHigherOnes_IsServedWithinEightGrants()
    {
        var queue = new WaiterQueue<Resource>();
        var options = new PoolOptions();
        PoolWaiter<Resource> low = Waiter(Priority.Bulk, enqueuedAt: 0, due: long.MaxValue);
        queue.Enqueue(low);
        int grants = 0;
        PoolWaiter<Resource>? served;
        do
        {
            queue.Enqueue(Waiter(Priority.Critical, enqueuedAt: 1 + grants, due: long.MaxValue));
            served = queue.Dequeue(now: 2 + grants, options);
            grants++;
        }
        while (!ReferenceEquals(served, low) && grants < 100);

        Assert.Equal(FairGrantEvery, grants);
    }

    [Fact]
    public void Dequeue_TurnOfWhoWaitsLongest_OfThoseWhoCameTogetherTheMoreImportant()
    {
        var queue = new WaiterQueue<Resource>();
        var options = new PoolOptions();
        for (int grant = 1; grant < FairGrantEvery; grant++)
        {
            queue.Enqueue(Waiter(Priority.Critical, enqueuedAt: 0, due: long.MaxValue));
            Assert.NotNull(queue.Dequeue(now: 1, options));
        }

        foreach ((Priority priority, long enqueuedAt) in new[] { (Priority.Bulk, 5L), (Priority.Low, 5), (Priority.Normal, 5), (Priority.Critical, 6) })
        {
            queue.Enqueue(Waiter(priority, enqueuedAt, due: long.MaxValue));
        }

        Assert.Equal(Priority.Normal, queue.Dequeue(now: 7, options)!.Priority);
    }

    [Fact]
    public void Dequeue_Strict_NeverLetsALowPriorityForward()
    {
        var queue = new WaiterQueue<Resource>();
        var options = new PoolOptions();
        queue.Enqueue(Waiter(Priority.Bulk, enqueuedAt: 0, due: long.MaxValue));
        for (int i = 0; i < 3 * FairGrantEvery; i++)
        {
            queue.Enqueue(Waiter(Priority.Critical, enqueuedAt: 1 + i, due: long.MaxValue));
            Assert.Equal(Priority.Critical, queue.Dequeue(now: 2 + i, options, isStrict: true)!.Priority);
        }
    }

    [Fact]
    public void IsStanding_QueueWithoutAnEmptyMomentForMoreThanTheInterval_OnlyThenAndOnlyWithAdaptiveOrder()
    {
        var adaptive = new PoolOptions { WaiterOrder = WaiterOrder.AdaptiveLifo, CoDelInterval = TimeSpan.FromMilliseconds(50) };
        var queue = new WaiterQueue<Resource>();
        Assert.False(queue.IsStanding(1_000, adaptive));
        queue.Enqueue(Waiter(Priority.Normal, enqueuedAt: 0, due: long.MaxValue));
        queue.Enqueue(Waiter(Priority.Normal, enqueuedAt: 40, due: long.MaxValue));
        Assert.False(queue.IsStanding(50, adaptive));
        Assert.True(queue.IsStanding(51, adaptive));
        Assert.False(queue.IsStanding(51, new PoolOptions()));

        // It has stood, and is empty: the next one begins anew.
        Assert.Equal(40, queue.Dequeue(60, adaptive)!.EnqueuedAt);
        Assert.Equal(0, queue.Dequeue(60, adaptive)!.EnqueuedAt);
        Assert.False(queue.IsStanding(1_000, adaptive));
        queue.Enqueue(Waiter(Priority.Normal, enqueuedAt: 1_000, due: long.MaxValue));
        Assert.False(queue.IsStanding(1_050, adaptive));
        Assert.True(queue.IsStanding(1_051, adaptive));
    }

    private static void Step(WaiterQueue<Resource> queue, Model model, int step, long now, PoolOptions options)
    {
        var priority = (Priority)(step / 1_000 % 4);
        int pick = step / 4_000;
        switch (step % 10)
        {
            case 0:
                PoolWaiter<Resource>? served = queue.Dequeue(now, options);
                Assert.Same(model.Dequeue(now, isStrict: false), served);
                Assert.False(served?.IsPending ?? false);
                break;
            case 1:
                Assert.Same(model.Dequeue(now, isStrict: true), queue.Dequeue(now, options, isStrict: true));
                break;
            case 2 when model.Waiting.Count > 0:
                PoolWaiter<Resource> leaving = model.Waiting[pick % model.Waiting.Count];
                model.Waiting.Remove(leaving);
                queue.Remove(leaving);
                Assert.False(leaving.IsPending);
                break;
            case 3:
                PoolWaiter<Resource>? expired = queue.DequeueExpired(now);
                Assert.Equal(model.Waiting.Any(waiter => waiter.Due <= now), expired is not null);
                Assert.Equal(expired is null ? null : model.Waiting.Min(waiter => waiter.Due), expired?.Due);
                Assert.True(expired is null || model.Waiting.Remove(expired));
                break;
            case 4:
                Assert.Same(model.LeastBelow(priority), queue.LeastBelow(priority));
                break;
            default:
                PoolWaiter<Resource> coming = Waiter(priority, now, due: pick % 3 == 0 ? long.MaxValue : now + (pick % 200));
                model.Enqueue(coming);
                queue.Enqueue(coming);
                Assert.True(coming.IsPending);
                break;
        }
    }

    private static PoolWaiter<Resource> Waiter(Priority priority, long enqueuedAt, long due) =>
        new() { Priority = priority, EnqueuedAt = enqueuedAt, Due = due };

    /// <summary>Who waits, in the order in which they came, and the rules by which the next one is found.</summary>
    private sealed class Model(PoolOptions options)
    {
        private long? _stoodSince;
        private int _grants;

        public List<PoolWaiter<Resource>> Waiting { get; } = [];

        public bool IsStanding(long now) =>
            Waiting.Count > 0 && options.WaiterOrder == WaiterOrder.AdaptiveLifo && now - _stoodSince > options.CoDelInterval.TotalMilliseconds;

        public void Enqueue(PoolWaiter<Resource> waiter)
        {
            _stoodSince = Waiting.Count == 0 ? waiter.EnqueuedAt : _stoodSince;
            Waiting.Add(waiter);
        }

        public PoolWaiter<Resource>? Dequeue(long now, bool isStrict)
        {
            if (Waiting.Count == 0)
            {
                return null;
            }

            Priority highest = Waiting.Min(waiter => waiter.Priority);
            PoolWaiter<Resource> next = IsStanding(now) ? Waiting.Last(waiter => waiter.Priority == highest)
                : !isStrict && ++_grants % FairGrantEvery == 0 ? Waiting.OrderBy(waiter => waiter.EnqueuedAt).ThenBy(waiter => waiter.Priority).First()
                : Waiting.First(waiter => waiter.Priority == highest);
            Waiting.Remove(next);
            return next;
        }

        public PoolWaiter<Resource>? LeastBelow(Priority newcomer)
        {
            Priority least = Waiting.Select(waiter => waiter.Priority).DefaultIfEmpty(Priority.Critical).Max();
            return least > newcomer ? Waiting.Last(waiter => waiter.Priority == least) : null;
        }
    }
}
