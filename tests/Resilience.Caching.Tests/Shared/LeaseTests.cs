using Microsoft.Extensions.Caching.Hybrid;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>Nodes take turns in loading a key.</summary>
public sealed class LeaseTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    private ResilientCache New(double leaseWait = 60) => TestCache.New(
        _time,
        options =>
        {
            // Nothing of this may pass by itself while a test moves the clock.
            (options.Shared.Leases, options.LoadTimeout, options.Shared.TombstoneLifetime) = (true, TimeSpan.FromMinutes(10), TimeSpan.FromHours(1));
            options.Shared.LeaseWait = TimeSpan.FromSeconds(leaseWait);
        },
        _tier);

    [Fact]
    public async Task TwoNodes_ThousandCallers_RunOneFactory()
    {
        await using ResilientCache one = New();
        await using ResilientCache two = New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        int calls = 0;
        ValueTask<string> Load(CancellationToken token)
        {
            Interlocked.Increment(ref calls);
            return new ValueTask<string>(gate.Task);
        }

        Task<string>[] callers = [.. Enumerable.Range(0, 1000).Select(i => (i % 2 == 0 ? one : two).GetAsync("key", Load).AsTask())];
        TestCache.Until(() => Volatile.Read(ref calls) == 1 && two.Snapshot().Joined + one.Snapshot().Joined == 998, "the callers");
        gate.SetResult("value");
        Task<string[]> all = Task.WhenAll(callers);
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(20), () => all.IsCompleted, "the other node's look");
        Assert.All(await all, value => Assert.Equal("value", value));
        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task Holder_TakesTooLong_TheOtherLoadsAllTheSame()
    {
        await using ResilientCache one = New();
        await using ResilientCache two = New(leaseWait: 5);
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> first = one.GetAsync("key", _ => new ValueTask<string>(hung.Task)).AsTask();
        TestCache.Until(() => one.Snapshot().SourceLoads == 1, "the lease");
        Task<string> second = two.GetAsync("key", "second").AsTask();
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => second.IsCompleted, "the end of the other's patience");
        Assert.Equal("second", await second);
        hung.SetResult("first");
        Assert.Equal("first", await first.Soon());
    }

    [Fact]
    public async Task Holder_IsAbandoned_GivesTheLeaseBackThoughItsFactoryHangs()
    {
        await using ResilientCache one = New();
        var hung = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> first = one.GetAsync("key", _ => new ValueTask<string>(hung.Task), new CacheEntryOptions { LoadTimeout = TimeSpan.FromSeconds(1) }).AsTask();
        TestCache.Until(() => one.Snapshot().SourceLoads == 1, "the lease");
        _time.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<CacheLoadTimeoutException>(() => first.Soon());
        TestCache.Until(() => _tier.Calls.Contains("release"), "the release");
        int renewals = _tier.Calls.Count(call => call == "renew");
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(renewals, _tier.Calls.Count(call => call == "renew"));
        hung.SetResult("late");
    }

    [Fact]
    public async Task Lease_IsRenewedAtAThirdWhileTheLoadRuns()
    {
        await using ResilientCache one = New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> first = one.GetAsync("key", _ => new ValueTask<string>(gate.Task), new CacheEntryOptions { LoadTimeout = TimeSpan.FromMinutes(1) }).AsTask();
        TestCache.Until(() => one.Snapshot().SourceLoads == 1, "the lease");
        for (int i = 1; i <= 3; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(3.4));
            TestCache.Until(() => _tier.Calls.Count(call => call == "renew") == i, "a renewal");
        }

        gate.SetResult("value");
        Assert.Equal("value", await first.Soon());
        TestCache.Until(() => _tier.Calls.Contains("release"), "the release");
    }

    [Fact]
    public async Task Fence_LeaseWasTakenOver_TheLateWriteIsRefused()
    {
        await using ResilientCache one = New();
        await using ResilientCache two = New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> first = one.GetAsync("key", _ => new ValueTask<string>(gate.Task)).AsTask();
        TestCache.Until(() => one.Snapshot().SourceLoads == 1, "the lease");
        _tier.LoseLease("v1:test:key");
        await two.GetAsync("key", "second").Soon();
        await two.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        gate.SetResult("first");
        Assert.Equal("first", await first.Soon());
        Assert.Equal(1, one.Snapshot().SharedRejected);
        Assert.Equal("second", await one.GetCachedAsync("key"));
    }

    /// <summary>Else a copy is never renewed while taking turns lasts longer than callers wait.</summary>
    [Theory]
    [InlineData("acquire")]
    [InlineData("read")]
    public async Task SoftTimeout_PassesWhileTheTurnIsTaken_TheLoadGoesOn(string slow)
    {
        await using ResilientCache one = New();
        await one.SetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        bool hasLease = false;
        _tier.Before = call =>
        {
            bool isSlow = call == slow && (call == "acquire" || Volatile.Read(ref hasLease));
            Volatile.Write(ref hasLease, hasLease || call == "acquire");
            return isSlow ? gate.Task : Task.CompletedTask;
        };
        Task<string> read = one.GetAsync("key", "new", new CacheEntryOptions { SoftTimeout = TimeSpan.FromMilliseconds(10) }).AsTask();
        TestCache.Until(() => Volatile.Read(ref hasLease), "the turn");
        _time.Advance(TimeSpan.FromMilliseconds(10)); // and no further: what is slow would run out of time
        Assert.Equal("old", await read.Soon());
        gate.SetResult();
        TestCache.Until(() => one.Snapshot().Flights == 0, "the end of the load");
        Assert.Equal("new", await one.GetCachedAsync("key"));
        TestCache.Until(() => _tier.Calls.Contains("release"), "the release");
    }

    [Fact]
    public async Task SoftTimeout_PassesWhileAnotherNodeLoads_ItsValueIsTakenAllTheSame()
    {
        await using ResilientCache one = New();
        await using ResilientCache two = New();
        await one.SetAsync("key", "old");
        Assert.Equal("old", await two.GetCachedAsync("key"));
        _time.Advance(TimeSpan.FromSeconds(61));
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> holder = one.GetAsync("key", _ => new ValueTask<string>(gate.Task)).AsTask();
        TestCache.Until(() => one.Snapshot().SourceLoads == 1, "the lease");
        Task<string> read = two.GetAsync("key", "never", new CacheEntryOptions { SoftTimeout = TimeSpan.FromMilliseconds(10) }).AsTask();
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(10), () => read.IsCompleted, "the stale copy");
        Assert.Equal("old", await read);
        int asked = Acquires();
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(20), () => Acquires() > asked + 2, "the other node's next tries");
        gate.SetResult("new");
        Assert.Equal("new", await holder.Soon());
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(20), () => two.Snapshot().Flights == 0, "the other node's look");
        Assert.Equal("new", two.TryGet<string>("key").Value);

        int Acquires() => _tier.Calls.Count(call => call == "acquire");
    }

    [Theory]
    [InlineData(HybridCacheEntryFlags.DisableDistributedCacheRead)]
    [InlineData(HybridCacheEntryFlags.DisableDistributedCacheWrite)]
    [InlineData(HybridCacheEntryFlags.DisableUnderlyingData)]
    public async Task Flags_ThatLeaveALeaseNoUse_TakeNone(HybridCacheEntryFlags flags)
    {
        await using ResilientCache one = New();
        await one.GetAsync("key", "x", new CacheEntryOptions { TierFlags = flags });
        Assert.DoesNotContain("acquire", _tier.Calls);
    }

    [Theory]
    [InlineData("read", "acquire")] // The value's read is slow, the lease hangs.
    [InlineData("acquire", "read")] // The lease is slow, the second look hangs.
    public async Task Stall_InTheMiddleOfAFlightsLook_AllItsCallsShareOneHardTimeout(string slow, string hung)
    {
        await using ResilientCache one = New();
        await one.GetAsync("other", "x"); // The versions are known.
        var gate = new TaskCompletionSource(); // Whatever waits for it goes on inside SetResult, up to its next wait.
        (bool isSlow, bool isHung) = (false, false);
        _tier.Before = call =>
        {
            if (call == hung && isSlow)
            {
                Volatile.Write(ref isHung, true);
                return new TaskCompletionSource().Task;
            }

            if (call != slow)
            {
                return Task.CompletedTask;
            }

            Volatile.Write(ref isSlow, true);
            return gate.Task;
        };
        Task<string> read = Task.Run(() => one.GetAsync("key", "value").AsTask());
        TestCache.Until(() => Volatile.Read(ref isSlow) && _time.NextDue <= TimeSpan.FromMilliseconds(500), "the slow call");
        _time.Advance(TimeSpan.FromMilliseconds(400));
        await Task.Run(gate.SetResult);
        TestCache.Until(() => Volatile.Read(ref isHung) && _time.NextDue <= TimeSpan.FromMilliseconds(500), "the hung call");
        Assert.Equal(TimeSpan.FromMilliseconds(100), _time.NextDue);
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("value", await read.Soon());
    }
}
