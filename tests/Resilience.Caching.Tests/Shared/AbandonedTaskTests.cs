using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Caching.Backplane;
using Resilience.Caching.Guard;
using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Guard;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>What was given up fails when its connection is torn down under it; that is nobody's news any more.</summary>
public sealed class AbandonedTaskTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public Task Announcement_FailsAfterItWasGivenUp_IsNotLeftUnobserved() => IsObservedAsync(async abandoned =>
    {
        int published = 0;
        var tier = new FakeSharedTier { Before = call => call == "publish" && Interlocked.Increment(ref published) == 1 ? abandoned.Task : Task.CompletedTask };
        await using ResilientCache cache = TestCache.New(_time, shared: tier);
        var announcer = new Announcer(cache.Core, tier, "channel", 1);
        announcer.Announce(new Change(ChangeKind.Key, "key", 7, default));
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => announcer.Waiting == 0, "another attempt");
        abandoned.SetException(new AbandonedException());
        await announcer.DisposeAsync();
    });

    [Fact]
    public Task Ping_FailsAfterItWasGivenUp_IsNotLeftUnobserved() => IsObservedAsync(async abandoned =>
    {
        int published = 0;
        var tier = new FakeSharedTier { Before = call => call == "publish" && Interlocked.Increment(ref published) == 1 ? abandoned.Task : Task.CompletedTask };
        await using ResilientCache cache = TestCache.New(_time, static options => options.Shared.Backplane.Heartbeat = TimeSpan.FromMinutes(2), tier, hasBackplane: true);
        cache.Upkeep.Start();
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => cache.Upkeep.Link!.IsUp, "another ping");
        abandoned.SetException(new AbandonedException());
    });

    [Fact]
    public Task Journal_FailsAfterItWasGivenUp_IsNotLeftUnobserved() => IsObservedAsync(async abandoned =>
    {
        var options = new GuardOptions { ExpectedKeys = 1_000, Freshness = TimeSpan.FromMilliseconds(500) };
        await using var guard = new BloomGuard("products", options, new ListSource("a"), new HungJournal(abandoned.Task), _time, NullLogger.Instance);
        Task step = guard.Follower!.StepAsync(CancellationToken.None);
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => step.IsCompleted, "the follower's patience");
        await Assert.ThrowsAsync<TimeoutException>(() => step);
        abandoned.SetException(new AbandonedException());
    });

    private static async Task IsObservedAsync(Func<TaskCompletionSource, Task> giveUp)
    {
        int unobserved = 0;
        EventHandler<UnobservedTaskExceptionEventArgs> note = (_, told) =>
        {
            if (told.Exception.InnerExceptions.Any(static exception => exception is AbandonedException))
            {
                Interlocked.Increment(ref unobserved);
            }
        };
        TaskScheduler.UnobservedTaskException += note;
        try
        {
            await GiveUpAsync(giveUp);
            for (int i = 0; i < 3; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }
        finally
        {
            TaskScheduler.UnobservedTaskException -= note;
        }

        Assert.Equal(0, unobserved);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task GiveUpAsync(Func<TaskCompletionSource, Task> giveUp) => await giveUp(new TaskCompletionSource());

    private sealed class AbandonedException : Exception;

    private sealed class HungJournal(Task hung) : IGuardJournal
    {
        public async ValueTask<GuardJournalHead> OpenAsync(CancellationToken cancellationToken)
        {
            await hung;
            return default;
        }

        public ValueTask<long> AppendAsync(ulong epoch, IReadOnlyList<ulong> hashes, TimeSpan retention, CancellationToken cancellationToken) => throw new NotSupportedException();

        public ValueTask<GuardJournalBatch> ReadAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken) => throw new NotSupportedException();

        public ValueTask<bool> IsConfirmedAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken) => throw new NotSupportedException();

        public ValueTask AbandonAsync(ulong epoch, CancellationToken cancellationToken) => throw new NotSupportedException();

        public ValueTask WaitAsync(TimeSpan atMost, CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
