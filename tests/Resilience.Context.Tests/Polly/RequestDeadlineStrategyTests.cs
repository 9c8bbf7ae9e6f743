using Polly;
using Polly.CircuitBreaker;
using Polly.Retry;

namespace Resilience.Context.Tests.Polly;

public sealed class RequestDeadlineStrategyTests
{
    private readonly ManualTimeProvider _clock = new();

    [Fact]
    public async Task Execute_NoScope_DoesNothing()
    {
        ResiliencePipeline pipeline = Builder().AddRequestDeadline().Build();
        Assert.Equal(7, await pipeline.ExecuteAsync(static _ => ValueTask.FromResult(7), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Execute_TooLittleLeft_BeginsNoAttempt()
    {
        ResiliencePipeline pipeline = Builder().AddRequestDeadline(new RequestDeadlineStrategyOptions { MinimumUseful = TimeSpan.FromMilliseconds(50) }).Build();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        _clock.Advance(TimeSpan.FromMilliseconds(960));
        bool isRun = false;
        var error = await Assert.ThrowsAsync<DeadlineExceededException>(async () => await pipeline.ExecuteAsync(_ =>
        {
            isRun = true;
            return ValueTask.CompletedTask;
        }));
        Assert.False(isRun);
        Assert.Equal((40, 50, false), (error.Remaining.TotalMilliseconds, error.Needed.TotalMilliseconds, error.IsCallerChosen));
    }

    [Fact]
    public async Task Execute_NothingLeft_BeginsNoAttemptHoweverLittleIsUseful()
    {
        ResiliencePipeline pipeline = Builder().AddRequestDeadline(new RequestDeadlineStrategyOptions { MinimumUseful = TimeSpan.Zero }).Build();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        _clock.Advance(TimeSpan.FromSeconds(1));
        bool isBegun = false;
        await Assert.ThrowsAsync<DeadlineExceededException>(async () => await pipeline.ExecuteAsync(_ =>
        {
            isBegun = true;
            return ValueTask.CompletedTask;
        }));
        Assert.False(isBegun);
    }

    [Fact]
    public async Task Execute_DeadlinePassesWhileRunning_IsCancelledAndNamed()
    {
        ResiliencePipeline pipeline = Builder().AddRequestDeadline().Build();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(5), CallerTimeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        Task running = pipeline.ExecuteAsync(static async token => await Task.Delay(Timeout.Infinite, token)).AsTask();
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True((await Assert.ThrowsAsync<DeadlineExceededException>(() => running)).IsCallerChosen);
    }

    [Fact]
    public async Task Execute_DeadlinePassesBetweenTheCheckAndTheAttempt_IsBoundedAllTheSame()
    {
        ResiliencePipeline pipeline = Builder()
            .AddRequestDeadline(new RequestDeadlineStrategyOptions { MinimumUseful = TimeSpan.Zero })
            .Build();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = new ExpiringClock(_clock) });
        Task running = pipeline.ExecuteAsync(static async token => await Task.Delay(Timeout.Infinite, token)).AsTask();
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        await Assert.ThrowsAsync<DeadlineExceededException>(() => running.WaitAsync(TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public async Task Execute_DeadlineBeyondWhatATimerTakes_Runs()
    {
        ResiliencePipeline pipeline = Builder().AddRequestDeadline().Build();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromDays(300), TimeProvider = _clock });
        Assert.Equal(7, await pipeline.ExecuteAsync(static _ => ValueTask.FromResult(7)));
    }

    [Fact]
    public async Task Retry_EachAttemptIsWeighed_AndADeadlineIsNotRetried()
    {
        int attempts = 0;
        ResiliencePipeline pipeline = Builder()
            .AddRetry(new RetryStrategyOptions { MaxRetryAttempts = 10, Delay = TimeSpan.Zero })
            .AddRequestDeadline()
            .Build();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        await Assert.ThrowsAsync<DeadlineExceededException>(async () => await pipeline.ExecuteAsync(_ =>
        {
            attempts++;
            _clock.Advance(TimeSpan.FromMilliseconds(300));
            throw new FormatException();
        }));
        Assert.Equal(4, attempts);
    }

    [Fact]
    public async Task StopAtRequestDeadline_DelayLongerThanWhatIsLeft_StopsAtOnce()
    {
        int attempts = 0;
        int retries = 0;
        var pipeline = new ResiliencePipelineBuilder<int> { TimeProvider = _clock }
            .AddRetry(new RetryStrategyOptions<int>
            {
                MaxRetryAttempts = 10,
                Delay = TimeSpan.FromSeconds(2),
                OnRetry = _ =>
                {
                    retries++;
                    return ValueTask.CompletedTask;
                },
            }.StopAtRequestDeadline())
            .Build();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        var error = await Assert.ThrowsAsync<DeadlineExceededException>(async () => await pipeline.ExecuteAsync<int>(_ =>
        {
            attempts++;
            throw new FormatException();
        }));
        Assert.Equal((1, 0), (attempts, retries));
        Assert.IsType<FormatException>(error.InnerException);
    }

    [Fact]
    public async Task Breaker_DeadlinesOfCallers_DoNotTripIt()
    {
        var breaker = new CircuitBreakerManualControl();
        var state = new CircuitBreakerStateProvider();
        ResiliencePipeline pipeline = Builder()
            .AddCircuitBreaker(new CircuitBreakerStrategyOptions { MinimumThroughput = 2, FailureRatio = 0.1, ManualControl = breaker, StateProvider = state })
            .AddRequestDeadline()
            .Build();
        for (int call = 0; call < 20; call++)
        {
            using RequestScope scope = RequestScope.Begin(new ScopeOptions { CallerTimeout = TimeSpan.FromMilliseconds(10), TimeProvider = _clock });
            Task running = pipeline.ExecuteAsync(static async token => await Task.Delay(Timeout.Infinite, token)).AsTask();
            _clock.Advance(TimeSpan.FromMilliseconds(10));
            await Assert.ThrowsAsync<DeadlineExceededException>(() => running);
        }

        Assert.Equal(CircuitState.Closed, state.CircuitState);
    }

    /// <summary>A clock on which the second that a scope was given has passed by the third reading: after the begin and the check.</summary>
    private sealed class ExpiringClock(ManualTimeProvider clock) : TimeProvider
    {
        private int _readings;

        public override long TimestampFrequency => clock.TimestampFrequency;

        public override long GetTimestamp() => clock.GetTimestamp() + (++_readings > 2 ? 2 * TimestampFrequency : 0);
    }

    private ResiliencePipelineBuilder Builder() => new() { TimeProvider = _clock };
}
