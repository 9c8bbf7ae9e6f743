using Microsoft.Extensions.DependencyInjection;
using Polly;
using Polly.Timeout;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Polly;

public sealed class PollyStrategyTests
{
    private static readonly Feature Piped = Feature.Declare("y-piped", Priority.Low);

    [Fact]
    public async Task AddDegradation_Off_EndsTheCall()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:y-piped"] = "Off" });
        ResiliencePipeline pipeline = new ResiliencePipelineBuilder().AddDegradation(Piped, host.Degradation).Build();
        var error = Assert.Throws<FeatureUnavailableException>(() => pipeline.Execute(() => 1));
        Assert.Equal(FeatureUnavailableReason.Off, error.Reason);
        host.Reload(new() { ["Features:y-piped"] = "On" });
        Assert.Equal(1, pipeline.Execute(() => 1));
    }

    [Fact]
    public async Task AddAdmission_Full_RefusesByThePriorityOfTheScope()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder => builder.AddAdmission(), samples: false);
        AdmissionController admission = host.Services.GetRequiredService<AdmissionController>();
        ((ITickListener)admission).Tick(new SystemSample(0, 100, 0, 0.85, 0, 0), PressureLevel.Elevated, 0.85);
        ResiliencePipeline pipeline = new ResiliencePipelineBuilder().AddAdmission(admission).Build();
        Assert.Equal(1, await pipeline.ExecuteAsync(_ => new ValueTask<int>(1)));
        using (RequestScope.Begin(new ScopeOptions { Priority = Priority.Low }))
        {
            await Assert.ThrowsAsync<RefusedException>(async () => await pipeline.ExecuteAsync(_ => new ValueTask<int>(1)));
        }

        await Assert.ThrowsAsync<InvalidOperationException>(async () => await pipeline.ExecuteAsync<int>(_ => throw new InvalidOperationException()));
        Assert.Equal(0, admission.Inside);
    }

    [Fact]
    public async Task AddLimiter_Adaptive_LearnsFromTheOutcomes()
    {
        var limiter = new AdaptiveConcurrencyLimiter(new AimdLimit(initial: 100), TimeSpan.FromTicks(1));
        ResiliencePipeline pipeline = new ResiliencePipelineBuilder().AddLimiter(limiter).Build();
        for (int i = 0; i < 20; i++)
        {
            await Assert.ThrowsAsync<TimeoutRejectedException>(async () => await pipeline.ExecuteAsync<int>(_ => throw new TimeoutRejectedException()));
        }

        int after = limiter.Limit;
        Assert.True(after < 50);
        for (int i = 0; i < 20; i++)
        {
            await Assert.ThrowsAsync<InvalidOperationException>(async () => await pipeline.ExecuteAsync<int>(_ => throw new InvalidOperationException()));
        }

        Assert.Equal(after, limiter.Limit);
        Assert.Equal(0, limiter.Inflight);
    }

    [Fact]
    public void AddLimiter_NoPermit_RefusesWithRetryAfter()
    {
        var bucket = new ModulatedTokenBucket(1, 1, () => 0, new ManualTimeProvider());
        ResiliencePipeline pipeline = new ResiliencePipelineBuilder().AddLimiter(bucket).Build();
        pipeline.Execute(() => { });
        var refused = Assert.Throws<RefusedException>(() => pipeline.Execute(() => { }));
        Assert.NotNull(refused.RetryAfter);
    }

    [Fact]
    public void AddClientThrottle_OwnErrors_DoNotCount()
    {
        var throttle = new ClientThrottle();
        ResiliencePipeline pipeline = new ResiliencePipelineBuilder().AddClientThrottle(throttle).Build();
        for (int i = 0; i < 200; i++)
        {
            Assert.Throws<ArgumentException>(() => pipeline.Execute(() => throw new ArgumentException("bad")));
        }

        Assert.Equal(0, throttle.RefusalProbability);
        for (int i = 0; i < 2_000; i++)
        {
            Assert.ThrowsAny<Exception>(() => pipeline.Execute(() => throw new TimeoutException()));
        }

        Assert.True(throttle.RefusalProbability > 0.5);
    }

    /// <summary>"Not found" is an answer: a client that asks for what is not there must not throttle itself.</summary>
    [Theory]
    [InlineData(System.Net.HttpStatusCode.NotFound, false)]
    [InlineData(System.Net.HttpStatusCode.BadRequest, false)]
    [InlineData(System.Net.HttpStatusCode.InternalServerError, false)]
    [InlineData(System.Net.HttpStatusCode.TooManyRequests, true)]
    [InlineData(System.Net.HttpStatusCode.ServiceUnavailable, true)]
    [InlineData(System.Net.HttpStatusCode.GatewayTimeout, true)]
    [InlineData(null, true)] // the connection was lost
    public void HttpFailure_CountsOnlyWhenItMeansTooMuch(System.Net.HttpStatusCode? status, bool isOverload)
    {
        var throttle = new ClientThrottle();
        ResiliencePipeline pipeline = new ResiliencePipelineBuilder().AddClientThrottle(throttle).Build();
        for (int i = 0; i < 100; i++)
        {
            Assert.ThrowsAny<Exception>(() => pipeline.Execute(() => throw new HttpRequestException("failed", null, status)));
        }

        Assert.Equal(isOverload, throttle.RefusalProbability > 0);
    }

    /// <summary>A pipeline around an HttpClient sees answers, not exceptions.</summary>
    [Fact]
    public void HttpAnswer_TooManyRequests_CountsForThrottleAndLimiter()
    {
        var throttle = new ClientThrottle();
        var limiter = new AdaptiveConcurrencyLimiter(new AimdLimit(initial: 100), TimeSpan.FromTicks(1));
        ResiliencePipeline<HttpResponseMessage> pipeline = new ResiliencePipelineBuilder<HttpResponseMessage>().AddClientThrottle(throttle).AddLimiter(limiter).Build();
        using var busy = new HttpResponseMessage(System.Net.HttpStatusCode.TooManyRequests);
        for (int i = 0; i < 20; i++)
        {
            pipeline.Execute(() => busy);
        }

        Assert.True(throttle.RefusalProbability > 0.5);
        Assert.True(limiter.Limit < 50);
    }
}
