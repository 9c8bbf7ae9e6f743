using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Features;

public sealed class DegradationTests
{
    private static readonly Feature Comments = Feature.Declare("t-comments", Priority.Low);
    private static readonly Feature Reviews = Feature.Declare("t-reviews", Priority.Low);
    private static readonly Feature Dark = Feature.Declare("t-dark", Priority.Normal, FeatureState.Off);
    private static readonly Feature Guarded = Feature.Declare("t-guarded", Priority.Critical, securityCritical: true);

    /// <summary>There so that the features are declared before any test, also before one that names them in settings alone.</summary>
    static DegradationTests()
    {
    }

    [Fact]
    public async Task StateOf_NothingSaid_IsTheDeclaration()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Comments));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Dark));
        Assert.Equal(DecisionSource.Default, host.Degradation.Decide(Comments).Source);
    }

    [Fact]
    public async Task StateOf_ShorthandInConfiguration_Holds()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "Off", ["Features:t-reviews:Mode"] = "Degraded", ["Features:t-reviews:Reason"] = "load test" });
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Comments));
        FeatureDecision reviews = host.Degradation.Decide(Reviews);
        Assert.Equal((FeatureState.Degraded, DecisionSource.Configuration, "load test"), (reviews.State, reviews.Source, reviews.Reason));
    }

    [Fact]
    public async Task Reload_SwitchedOffAndOn_TakesEffectAndIsTold()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "On" });
        var changes = new List<string>();
        using IDisposable subscription = host.Degradation.OnChange(change => changes.Add($"{change.Feature}:{change.Before.State}>{change.After.State}"));
        host.Reload(new() { ["Features:t-comments"] = "Off" });
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Comments));
        host.Reload(new() { ["Features:t-comments"] = "Auto" });
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Comments));
        Assert.Equal(["t-comments:Normal>Off", "t-comments:Off>Normal"], changes);
        Assert.Single(host.Logs.WithId(4000));
        Assert.Single(host.Logs.WithId(4001));
    }

    [Fact]
    public async Task Reload_NotValid_KeepsTheLastGood()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "Off" });
        host.Reload(new() { ["Features:t-comments"] = "Of" });
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Comments));
        LogEntry log = Assert.Single(host.Logs.WithId(1901));
        Assert.Contains("Resilience:Degrade:Features:t-comments = 'Of'", log.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_UnknownFeature_IsAWarningOnceWithTheNearestName()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-coments"] = "Off", ["Features:zzzzzzzzzzzz"] = "Off" });
        host.Reload(new() { ["Features:t-coments"] = "On", ["Features:zzzzzzzzzzzz"] = "Off" });
        Assert.Contains("'t-comments'", Assert.Single(host.Logs.WithId(4002)).Message, StringComparison.Ordinal);
        Assert.Contains("Resilience:Degrade:Features:zzzzzzzzzzzz", Assert.Single(host.Logs.WithId(4003)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task StateOf_DeclaredAfterTheStart_FindsItsSettings()
    {
        string name = $"t-late-{Guid.NewGuid():N}";
        await using DegradeHost host = await DegradeHost.StartAsync(new() { [$"Features:{name}"] = "Off" });
        var late = Feature.Declare(name);
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(late));
        Assert.Equal(FeatureState.Off, host.Degradation.Decide(late).State);
    }

    [Fact]
    public async Task Until_Passed_AutomaticHoldsAgain()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        DateTimeOffset until = host.Time.GetUtcNow().AddMinutes(5);
        host.Reload(new() { ["Features:t-comments:Mode"] = "Off", ["Features:t-comments:Until"] = until.ToString("yyyy-MM-dd'T'HH:mm:ssK") });
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Comments));
        host.Time.Advance(TimeSpan.FromMinutes(5.1));
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Comments));
    }

    [Fact]
    public async Task Decide_ExemptGroup_IsSparedByConfiguration()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments:Mode"] = "Off", ["Features:t-comments:Exempt:Groups:0"] = "vip" });
        Assert.Equal(FeatureState.Normal, host.Degradation.Decide(Comments, new DegradationContext(Group: "vip")).State);
        Assert.Equal(FeatureState.Off, host.Degradation.Decide(Comments, new DegradationContext(Group: "all")).State);
        Assert.Equal(FeatureState.Off, host.Degradation.Decide(Comments).State);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(200)]
    public async Task Decide_ManyExemptNames_EachIsSparedAndNobodyElse(int count)
    {
        var settings = new Dictionary<string, string?> { ["Features:t-comments:Mode"] = "Off" };
        for (int i = 0; i < count; i++)
        {
            settings[$"Features:t-comments:Exempt:Users:{i}"] = $"user-{i}";
        }

        await using DegradeHost host = await DegradeHost.StartAsync(settings);
        for (int i = 0; i < count + 5; i++)
        {
            Assert.Equal(i < count ? FeatureState.Normal : FeatureState.Off, host.Degradation.Decide(Comments, new DegradationContext($"user-{i}")).State);
        }
    }

    [Fact]
    public async Task Decide_Percent_HitsThatShareAndAlwaysTheSame()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments:Mode"] = "Degraded", ["Features:t-comments:Percent"] = "20" });
        int hit = Enumerable.Range(0, 20_000).Count(i => host.Degradation.Decide(Comments, new DegradationContext($"user-{i}")).State == FeatureState.Degraded);
        Assert.InRange(hit, 3_700, 4_300);
        Assert.Equal(3_085_883_643u, FeatureRule.StableHash("user-1", "T-Comments"));
    }

    [Fact]
    public async Task RunAsync_Off_TheFallbackAnswers()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "Off" });
        Assert.Equal("fallback", await RunAsync(host, Comments));
    }

    [Fact]
    public async Task RunAsync_Degraded_TheWorkRunsUnlessToldOtherwise()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "Degraded", ["Features:t-reviews:Mode"] = "Degraded", ["Features:t-reviews:FallbackAt"] = "Degraded" });
        Assert.Equal("primary", await RunAsync(host, Comments));
        Assert.Equal("fallback", await RunAsync(host, Reviews));
    }

    [Fact]
    public async Task RunAsync_TheWorkFails_TheFallbackAnswers()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        Assert.Equal("fallback", await host.Degradation.RunAsync(Comments, _ => throw new InvalidOperationException(), _ => new ValueTask<string>("fallback")));
        Assert.Equal("fallback", await host.Degradation.RunAsync(
            Comments,
            async _ =>
            {
                await Task.Yield();
                throw new InvalidOperationException();
            },
            _ => new ValueTask<string>("fallback")));
    }

    [Fact]
    public async Task RunAsync_CancelledByTheCaller_NoFallback()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        using var gone = new CancellationTokenSource();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await host.Degradation.RunAsync(
            Comments,
            ct => ValueTask.FromCanceled<string>(ct),
            _ => new ValueTask<string>("fallback"),
            gone.Token));
    }

    [Fact]
    public async Task RunAsync_FallbackOnErrorFalse_TheFailureIsTheCallers()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments:FallbackOnError"] = "false" });
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await host.Degradation.RunAsync(Comments, _ => throw new InvalidOperationException(), _ => new ValueTask<string>("x")));
    }

    [Fact]
    public async Task RunAsync_SecurityCritical_OnlyFailsClosed()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-guarded:Mode"] = "Off", ["Features:t-guarded:DrillPercent"] = "50" });
        var closed = await Assert.ThrowsAsync<FeatureUnavailableException>(async () => await RunAsync(host, Guarded));
        Assert.Equal(FeatureUnavailableReason.FailsClosed, closed.Reason);
        host.Reload(new() { ["Features:t-guarded:Mode"] = "On", ["Features:t-guarded:DrillPercent"] = "50" });
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await host.Degradation.RunAsync(Guarded, _ => throw new InvalidOperationException(), _ => new ValueTask<bool>(true)));
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal("primary", await RunAsync(host, Guarded));
        }
    }

    [Fact]
    public async Task RunAsync_FallbackIgnoresItsToken_TheCallerWaitsNoLongerThanTheDeadline()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments:Mode"] = "Off", ["Features:t-comments:FallbackTimeout"] = "00:00:02", ["Features:t-comments:FallbackConcurrency"] = "1" });
        var stuck = new TaskCompletionSource<string>();
        ValueTask<string> run = host.Degradation.RunAsync(Comments, _ => default, _ => new ValueTask<string>(stuck.Task));
        host.Time.Advance(TimeSpan.FromSeconds(1.9));
        Assert.False(run.IsCompleted);

        // The bulkhead is full while it runs, and still after its caller has left.
        Assert.Equal(FeatureUnavailableReason.FallbackSaturated, (await Assert.ThrowsAsync<FeatureUnavailableException>(async () => await RunAsync(host, Comments))).Reason);
        host.Time.Advance(TimeSpan.FromSeconds(0.2));
        var late = await Assert.ThrowsAsync<FeatureUnavailableException>(async () => await run);
        Assert.Equal(FeatureUnavailableReason.FallbackTimedOut, late.Reason);
        Assert.Contains("2000 ms", late.Message, StringComparison.Ordinal);
        Assert.Equal(FeatureUnavailableReason.FallbackSaturated, (await Assert.ThrowsAsync<FeatureUnavailableException>(async () => await RunAsync(host, Comments))).Reason);
        stuck.SetResult("late");
        Assert.Equal("fallback", await RunAsync(host, Comments));
    }

    [Fact]
    public async Task RunAsync_FallbackInAFallbackInAFallback_IsRefused()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "Off", ["Features:t-reviews"] = "Off" });
        Func<CancellationToken, ValueTask<string>> never = _ => throw new InvalidOperationException();
        string once = await host.Degradation.RunAsync(Comments, never, ct => host.Degradation.RunAsync(Reviews, never, _ => new ValueTask<string>("second"), ct));
        Assert.Equal("second", once);
        var chained = await Assert.ThrowsAsync<FeatureUnavailableException>(async () => await host.Degradation.RunAsync(
            Comments, never, ct => host.Degradation.RunAsync(Reviews, never, inner => host.Degradation.RunAsync(Dark, never, _ => new ValueTask<string>("third"), inner), ct)));
        Assert.Equal(FeatureUnavailableReason.FallbackChained, chained.Reason);
    }

    [Fact]
    public async Task RunAsync_Drill_SomeHealthyCallsTakeTheFallback()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments:DrillPercent"] = "50" });
        int drilled = 0;
        for (int i = 0; i < 2_000; i++)
        {
            drilled += await RunAsync(host, Comments) == "fallback" ? 1 : 0;
        }

        Assert.InRange(drilled, 800, 1_200);
    }

    [Fact]
    public async Task Decide_WithinARequest_DoesNotFlipHalfWay()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "On" });
        using (RequestScope.Begin())
        {
            Assert.Equal("primary", await RunAsync(host, Comments));
            host.Reload(new() { ["Features:t-comments"] = "Off" });
            Assert.Equal("primary", await RunAsync(host, Comments));
            Assert.Equal(FeatureState.Normal, host.Degradation.Decide(Comments).State);
            using (RequestScope.Begin())
            {
                Assert.Equal(FeatureState.Normal, host.Degradation.Snapshot.StateOf(Comments));
            }

            Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Comments));
        }

        using (RequestScope.Begin())
        {
            Assert.Equal("fallback", await RunAsync(host, Comments));
        }
    }

    [Fact]
    public async Task Decide_FeatureDeclaredWithinTheRequest_DoesNotFlipEither()
    {
        string name = $"t-late-{Guid.NewGuid():N}";
        await using DegradeHost host = await DegradeHost.StartAsync(new() { [$"Features:{name}"] = "Off" });
        using (RequestScope.Begin())
        {
            DegradationSnapshot snapshot = host.Degradation.Snapshot;
            Feature late = Feature.Declare(name);
            Assert.Equal(FeatureState.Off, host.Degradation.Decide(late).State);
            host.Reload(new() { [$"Features:{name}"] = "On" });
            Assert.Equal("fallback", await RunAsync(host, late));
            Assert.Equal(FeatureState.Off, host.Degradation.Decide(late).State);
            Assert.Equal(FeatureState.Off, snapshot.StateOf(late));
            Assert.Contains(snapshot.Decisions, decision => decision.Feature == late);
            Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(late));
        }
    }

    [Fact]
    public async Task Changes_IsAStreamOfThem()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "On" });
        using var end = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await using IAsyncEnumerator<FeatureChange> changes = host.Degradation.Changes(end.Token).GetAsyncEnumerator(end.Token);
        ValueTask<bool> next = changes.MoveNextAsync();
        host.Reload(new() { ["Features:t-comments"] = "Off" });
        Assert.True(await next);
        Assert.Equal((Comments, FeatureState.Off), (changes.Current.Feature, changes.Current.After.State));
    }

    [Fact]
    public async Task OnChange_ListenerThrows_OthersAreToldAndItIsLogged()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:t-comments"] = "On" });
        int told = 0;
        using IDisposable bad = host.Degradation.OnChange(_ => throw new InvalidOperationException("boom"));
        using IDisposable good = host.Degradation.OnChange(_ => told++);
        host.Reload(new() { ["Features:t-comments"] = "Off" });
        Assert.Equal(1, told);
        Assert.Single(host.Logs.WithId(4004));
    }

    [Fact]
    public async Task RunAsync_NormalWithStaticDelegates_AllocatesNothing()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        IDegradation degradation = host.Degradation;
        AllocationAssert.AtMost(0, () =>
        {
            _ = degradation.StateOf(Comments);
            _ = degradation.Decide(Comments, new DegradationContext("u", "g"));
        });
        AllocationAssert.AtMost(0, () => degradation.RunAsync(Comments, static (state, _) => new ValueTask<int>(state), static (state, _) => new ValueTask<int>(-state), 7));
    }

    [Fact]
    public void AddDegradation_Twice_IsOnce()
    {
        var services = new ServiceCollection();
        services.AddDegradation();
        int count = services.Count;
        services.AddDegradation();
        Assert.Equal(count, services.Count);
    }

    private static ValueTask<string> RunAsync(DegradeHost host, Feature feature) =>
        host.Degradation.RunAsync(feature, _ => new ValueTask<string>("primary"), _ => new ValueTask<string>("fallback"));
}
