using System.Threading.RateLimiting;
using Resilience.Redis.RateLimiting;
using Resilience.Redis.Tests.Caching;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.RateLimiting;

/// <summary>What a node does between its callers and the ledger, on a manual clock.</summary>
public sealed class RedisRateLimiterTests : IAsyncDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeLedger _ledger = new();
    private readonly LogCollector _logs = new();
    private readonly RedisRateLimiterOptions _options = new();
    private RedisRateLimiter? _limiter;

    private RedisRateLimiter Limiter => _limiter ??= new RedisRateLimiter(
        _ledger, LiveSettings<RedisRateLimiterOptions>.Of("mail", "Resilience:Limits:mail", _options), _time, _logs.CreateLogger<RedisRateLimiter>(), null, () => 0.5);

    [Fact]
    public async Task Acquire_Granted_HasNoRetryAfter()
    {
        using RateLimitLease lease = await Limiter.AcquireAsync();
        Assert.True(lease.IsAcquired);
        Assert.False(lease.TryGetMetadata(MetadataName.RetryAfter, out _));
        Assert.Equal((1, 1), Assert.Single(_ledger.Questions));
    }

    [Fact]
    public async Task Acquire_SteadyDemand_IsTakenAheadAndCostsFewRoundTrips()
    {
        _options.Burst = 1_000;
        _options.PermitsPerSecond = 10_000;
        for (int i = 0; i < 2_000; i++)
        {
            Assert.True((await Limiter.AcquireAsync()).IsAcquired);
            _time.Advance(TimeSpan.FromMilliseconds(1));
            await SettledAsync();
        }

        // The first span of 100 ms asks for each permit; from then on one question brings a span's worth.
        Assert.InRange(_ledger.Questions.Count, 100, 180);
        Assert.All(_ledger.Questions, question => Assert.InRange(question.Most, 1, 101));
    }

    [Fact]
    public async Task Acquire_LittleDemand_TakesNothingAhead()
    {
        for (int i = 0; i < 20; i++)
        {
            Assert.True((await Limiter.AcquireAsync()).IsAcquired);
            _time.Advance(TimeSpan.FromMilliseconds(400));
        }

        Assert.Equal(20, _ledger.Questions.Count);
        Assert.All(_ledger.Questions, question => Assert.Equal((1, 1), question));
    }

    [Fact]
    public async Task Acquire_MaxLeaseIsZero_TakesNothingAhead()
    {
        _options.MaxLease = 0;
        for (int i = 0; i < 300; i++)
        {
            Assert.True((await Limiter.AcquireAsync()).IsAcquired);
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.All(_ledger.Questions, question => Assert.Equal((1, 1), question));
    }

    [Fact]
    public async Task Acquire_Refused_IsRememberedAndSaysWhen()
    {
        _ledger.Answer = (_, _) => FakeLedger.Nothing(500);
        using RateLimitLease first = await Limiter.AcquireAsync();
        Assert.False(first.IsAcquired);
        Assert.True(first.TryGetMetadata(MetadataName.RetryAfter, out TimeSpan after));
        Assert.Equal(TimeSpan.FromMilliseconds(500), after);
        _time.Advance(TimeSpan.FromMilliseconds(200));
        for (int i = 0; i < 100; i++)
        {
            using RateLimitLease again = await Limiter.AcquireAsync();
            Assert.False(again.IsAcquired);
            Assert.True(again.TryGetMetadata(MetadataName.RetryAfter, out after));
            Assert.Equal(TimeSpan.FromMilliseconds(300), after);
        }

        Assert.Single(_ledger.Questions);
        _time.Advance(TimeSpan.FromMilliseconds(300));
        _ledger.Answer = (_, most) => Task.FromResult(new PermitGrant(most, TimeSpan.Zero, 1));
        Assert.True((await Limiter.AcquireAsync()).IsAcquired);
    }

    [Fact]
    public async Task Acquire_ManyAtOnce_ShareQuestionsAndAreServedInOrder()
    {
        var held = new TaskCompletionSource<PermitGrant>(TaskCreationOptions.RunContinuationsAsynchronously);
        _ledger.Answer = (_, _) => held.Task;
        Task<RateLimitLease> first = Limiter.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => !_ledger.Questions.IsEmpty, "the first is asked for");
        Task<RateLimitLease>[] others = [.. Enumerable.Range(0, 10).Select(_ => Limiter.AcquireAsync(2).AsTask())];
        Assert.Equal(11, Limiter.GetStatistics()!.CurrentQueuedCount);
        _ledger.Answer = (_, _) => Task.FromResult(new PermitGrant(9, TimeSpan.FromMilliseconds(70), 3));
        held.SetResult(new PermitGrant(1, TimeSpan.Zero, 1));
        Assert.True((await first).IsAcquired);
        RateLimitLease[] leases = await Task.WhenAll(others);
        Assert.Equal([true, true, true, true, false, false, false, false, false, false], leases.Select(lease => lease.IsAcquired));
        Assert.Equal(2, _ledger.Questions.Count);
        Assert.Equal((2, 20), _ledger.Questions.Last());
        Assert.Equal(5, Limiter.GetStatistics()!.TotalSuccessfulLeases);
        Assert.Equal(6, Limiter.GetStatistics()!.TotalFailedLeases);
        Assert.Equal(1, Limiter.GetStatistics()!.CurrentAvailablePermits);
    }

    [Fact]
    public async Task Acquire_LedgerFails_GoesOnWithAShareUntilItAnswersAgain()
    {
        _options.PermitsPerSecond = 10;
        _options.Burst = 40;
        _ledger.Answer = (_, most) => Task.FromResult(new PermitGrant(most, TimeSpan.Zero, 4));
        Assert.True((await Limiter.AcquireAsync()).IsAcquired);
        _ledger.Answer = (_, _) => Task.FromException<PermitGrant>(new TimeoutException("away"));
        int granted = 0;
        for (int i = 0; i < 100; i++)
        {
            granted += (await Limiter.AcquireAsync()).IsAcquired ? 1 : 0;
        }

        // A quarter of the burst, less the permit that was spent of it before.
        Assert.Equal(9, granted);
        Assert.True(Limiter.IsAway);
        Assert.Equal(2, _ledger.Questions.Count);
        using (RateLimitLease refused = await Limiter.AcquireAsync())
        {
            Assert.True(refused.TryGetMetadata(MetadataName.RetryAfter, out TimeSpan after));
            Assert.InRange(after, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(401));
        }

        // A quarter of the rate from there on: 2.5 a second.
        granted = 0;
        for (int i = 0; i < 90; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(10));
            granted += (await Limiter.AcquireAsync()).IsAcquired ? 1 : 0;
        }

        Assert.Equal(2, granted);
        await _logs.WaitForAsync(entry => entry.Id.Id == 7000);
        Assert.Single(_logs.WithId(7000));
        _ledger.Answer = (_, most) => Task.FromResult(new PermitGrant(most, TimeSpan.Zero, 4));
        _time.Advance(TimeSpan.FromSeconds(2));
        await Limiter.AcquireAsync();
        await Eventually.TrueAsync(() => !Limiter.IsAway, "it is back");
        Assert.True((await Limiter.AcquireAsync()).IsAcquired);
        await _logs.WaitForAsync(entry => entry.Id.Id == 7001);
        Assert.Single(_logs.WithId(7001));
    }

    [Fact]
    public async Task Acquire_LedgerHangs_WaitsNoLongerThanTheTimeout()
    {
        _ledger.Answer = (_, _) => new TaskCompletionSource<PermitGrant>().Task;
        Task<RateLimitLease> waiting = Limiter.AcquireAsync().AsTask();
        await _time.WaitForTimersAsync();
        _time.Advance(_options.Timeout - TimeSpan.FromMilliseconds(1));
        Assert.False(waiting.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True((await waiting).IsAcquired);

        // And from then on nobody waits, not even for the attempt that follows.
        _time.Advance(TimeSpan.FromSeconds(5));
        ValueTask<RateLimitLease> next = Limiter.AcquireAsync();
        Assert.True(next.IsCompleted);
        Assert.True((await next).IsAcquired);
    }

    [Fact]
    public async Task Acquire_CallerGone_ItsPermitServesAnother()
    {
        var held = new TaskCompletionSource<PermitGrant>(TaskCreationOptions.RunContinuationsAsynchronously);
        _ledger.Answer = (_, _) => held.Task;
        using var gone = new CancellationTokenSource();
        Task<RateLimitLease> cancelled = Limiter.AcquireAsync(1, gone.Token).AsTask();
        await Eventually.TrueAsync(() => !_ledger.Questions.IsEmpty, "it is asked for");
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        held.SetResult(new PermitGrant(1, TimeSpan.Zero, 1));
        await SettledAsync();
        ValueTask<RateLimitLease> other = Limiter.AcquireAsync();
        Assert.True(other.IsCompleted);
        Assert.True((await other).IsAcquired);
        Assert.Single(_ledger.Questions);
    }

    [Fact]
    public async Task Acquire_TakenAheadTooLongAgo_IsLost()
    {
        _ledger.Answer = (_, _) => Task.FromResult(new PermitGrant(5, TimeSpan.Zero, 1));
        await Limiter.AcquireAsync();
        Assert.Equal(4, Limiter.GetStatistics()!.CurrentAvailablePermits);
        _time.Advance(_options.LeaseDuration);
        Assert.Equal(0, Limiter.GetStatistics()!.CurrentAvailablePermits);
        await SettledAsync();
        Assert.Equal(_options.LeaseDuration, Limiter.IdleDuration);
    }

    [Fact]
    public async Task Attempt_NothingAtHand_RefusesAndAsksInTheBackground()
    {
        Assert.False(Limiter.AttemptAcquire(3).IsAcquired);
        await Eventually.TrueAsync(() => Limiter.GetStatistics()!.CurrentAvailablePermits == 3, "the permits have come");
        Assert.True(Limiter.AttemptAcquire(3).IsAcquired);
    }

    [Fact]
    public async Task Acquire_MoreThanTheBurst_IsAnError()
    {
        ArgumentOutOfRangeException error = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await Limiter.AcquireAsync(101));
        Assert.Contains("'mail'", error.Message, StringComparison.Ordinal);
        Assert.Contains("100", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Acquire_NothingIsConfigured_EachNodeHasItsShare()
    {
        _options.Burst = 10;
        _options.ExpectedNodes = 5;
        await using var alone = new RedisRateLimiter(new RedisConnection(new RedisOptions()), "mail", _options, _time);
        bool[] granted = await Task.WhenAll(Enumerable.Range(0, 3).Select(async _ => (await alone.AcquireAsync()).IsAcquired));
        Assert.Equal([true, true, false], granted);
        Assert.True(alone.IsAway);
    }

    [Fact]
    public async Task Dispose_SomebodyWaits_IsRefused()
    {
        _ledger.Answer = (_, _) => new TaskCompletionSource<PermitGrant>().Task;
        Task<RateLimitLease> waiting = Limiter.AcquireAsync().AsTask();
        await Limiter.DisposeAsync();
        Assert.False((await waiting).IsAcquired);
        Assert.Throws<ObjectDisposedException>(() => Limiter.AttemptAcquire());
    }

    [Fact]
    public void Acquire_PermitAtHand_AllocatesNothing()
    {
        _options.Burst = 1_000_000;
        _ledger.Answer = (_, _) => Task.FromResult(new PermitGrant(1_000_000, TimeSpan.Zero, 1));
        Limiter.AttemptAcquire();
        Assert.True(SpinWait.SpinUntil(() => Limiter.GetStatistics()!.CurrentAvailablePermits > 0, TimeSpan.FromSeconds(60)));
        AllocationAssert.AtMost(0, () => Limiter.AcquireAsync());
        Assert.True(Limiter.AttemptAcquire().IsAcquired);
    }

    public async ValueTask DisposeAsync()
    {
        if (_limiter is not null)
        {
            await _limiter.DisposeAsync();
        }
    }

    /// <summary>Waits until no question is under way.</summary>
    private Task SettledAsync() => Eventually.TrueAsync(() => !Limiter.IsAsking, "the answer is in");
}
