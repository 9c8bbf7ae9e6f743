using System.Diagnostics.Metrics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Context;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Features;

/// <summary>Runs by itself: a feature that another test declares meanwhile is a change too.</summary>
[CollectionDefinition(nameof(FeatureBookLawTests), DisableParallelization = true)]
public sealed class FeatureBookLaws;

/// <summary>What a decision tells, when it ends, whom it spares, and how many features pressure may switch off.</summary>
[Collection(nameof(FeatureBookLawTests))]
public sealed class FeatureBookLawTests
{
    // Declared in an order that is not that of their importance.
    private static readonly Feature LowOne = Feature.Declare("b-low-1", Priority.Low);
    private static readonly Feature BulkOne = Feature.Declare("b-bulk-1", Priority.Bulk);
    private static readonly Feature NormalOne = Feature.Declare("b-normal-1", Priority.Normal);
    private static readonly Feature BulkTwo = Feature.Declare("b-bulk-2", Priority.Bulk);
    private static readonly Feature LowTwo = Feature.Declare("b-low-2", Priority.Low);
    private static readonly Feature DarkOne = Feature.Declare("b-dark", Priority.Bulk, FeatureState.Off);
    private static readonly Feature Guarded = Feature.Declare("b-guarded", Priority.Critical, securityCritical: true);
    private static readonly Feature[] Pressed = [LowOne, BulkOne, NormalOne, BulkTwo, LowTwo, DarkOne];

    private long _now;

    /// <summary>Declares them before the first test begins: without this they are declared when they are first read, which changes the snapshot.</summary>
    static FeatureBookLawTests()
    {
    }

    [Theory]
    [InlineData(0, "")]
    [InlineData(1, "b-bulk-1")]
    [InlineData(2, "b-bulk-1 b-bulk-2")]
    [InlineData(3, "b-bulk-1 b-bulk-2 b-low-1")]
    [InlineData(4, "b-bulk-1 b-bulk-2 b-low-1 b-low-2")]
    [InlineData(5, "b-bulk-1 b-bulk-2 b-low-1 b-low-2 b-normal-1")]
    [InlineData(6, "b-bulk-1 b-bulk-2 b-low-1 b-low-2 b-normal-1")]
    public async Task Pressure_NoMoreOffThanAllowed_TheLeastImportantFirstThenInOrderOfDeclaration(int limit, string expected)
    {
        await using DegradeHost host = await StartPressedAsync(limit);
        Press(host, 1_000);
        Feature[] off = [.. Pressed.Where(feature => feature != DarkOne && host.Degradation.StateOf(feature) == FeatureState.Off)];
        Assert.Equal(expected, string.Join(' ', off.Select(feature => feature.Name).Order(StringComparer.Ordinal)));
        Assert.All(Pressed.Except(off).Where(feature => feature != DarkOne), feature => Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(feature)));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(DarkOne)); // was off before, and takes nobody's place
        if (limit < 5)
        {
            Assert.Contains($"5 features, MaxAutomaticOff is {limit}: the more important {5 - limit}", Assert.Single(host.Logs.WithId(4006)).Message, StringComparison.Ordinal);
        }
        else
        {
            Assert.Empty(host.Logs.WithId(4006));
        }
    }

    [Fact]
    public async Task Pressure_FeaturesThatAnOperatorOrTheConfigurationSpeaksFor_TakeNobodysPlace()
    {
        await using DegradeHost host = await StartPressedAsync(limit: 2, new() { ["Features:b-bulk-1:Mode"] = "Off" });
        await host.Degradation.OverrideAsync(BulkTwo, FeatureState.Normal, "why", "who");
        Press(host, 1_000);
        Assert.Equal(
            (FeatureState.Off, FeatureState.Normal, FeatureState.Off, FeatureState.Off, FeatureState.Degraded),
            (host.Degradation.StateOf(BulkOne), host.Degradation.StateOf(BulkTwo), host.Degradation.StateOf(LowOne), host.Degradation.StateOf(LowTwo), host.Degradation.StateOf(NormalOne)));
    }

    [Fact]
    public async Task Pressure_TooManyOff_IsLoggedWhenItGetsWorseAndNotWhileItStays()
    {
        double value = 0.99;
        await using DegradeHost host = await StartPressedAsync(limit: 1, signal: () => value);
        Press(host, 1_000);
        Press(host, 1_000);
        host.Services.GetRequiredService<FeatureBook>().Refresh();
        Assert.Single(host.Logs.WithId(4006));
        value = 0;
        Press(host, 60_000);
        Assert.Single(host.Logs.WithId(4006));
        value = 0.99;
        Press(host, 1_000);
        Assert.Equal(2, host.Logs.WithId(4006).Count);
    }

    [Fact]
    public async Task Decision_FromEachSource_TellsWhyHowLongAndUnderWhichPressure()
    {
        await using DegradeHost host = await StartPressedAsync(limit: 100, new() { ["Features:b-low-2:Mode"] = "Degraded" });
        DateTimeOffset start = host.Time.GetUtcNow();
        Press(host, 1_000);
        await host.Degradation.OverrideAsync(BulkOne, FeatureState.Degraded, "INC-7", "ann", TimeSpan.FromMinutes(5));

        AssertSays(host.Degradation.Decide(BulkOne), FeatureState.Degraded, DecisionSource.Override, "INC-7 (ann)", PressureLevel.Critical, start, start.AddMinutes(5));
        AssertSays(host.Degradation.Decide(LowTwo), FeatureState.Degraded, DecisionSource.Configuration, "configured Degraded", PressureLevel.Critical, start, null);
        AssertSays(host.Degradation.Decide(LowOne), FeatureState.Off, DecisionSource.Automatic, "queue:book is Critical", PressureLevel.Critical, start, null);
        AssertSays(host.Degradation.Decide(DarkOne), FeatureState.Off, DecisionSource.Default, "declared", PressureLevel.Normal, start, null);
    }

    [Fact]
    public async Task Revision_GrowsWithEveryChangeAndStaysWhereNothingChanges()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        FeatureBook book = host.Services.GetRequiredService<FeatureBook>();
        DegradationSnapshot before = book.Snapshot;
        book.Refresh();
        Assert.Same(before, book.Snapshot);

        await host.Degradation.OverrideAsync(LowOne, FeatureState.Off, "why", "who");
        FeatureDecision first = host.Degradation.Decide(LowOne);
        Assert.Equal(before.Revision + 1, book.Snapshot.Revision);
        Assert.Equal(book.Snapshot.Revision, first.Revision);

        host.Time.Advance(TimeSpan.FromSeconds(1));
        await host.Degradation.OverrideAsync(LowTwo, FeatureState.Off, "why", "who");
        Assert.Equal(before.Revision + 2, book.Snapshot.Revision);
        Assert.Same(first, host.Degradation.Decide(LowOne)); // what says the same is the same, with its own revision and time
    }

    [Fact]
    public async Task Change_OfTheReasonAlone_IsToldToListenersAndNotLoggedAsAChangeOfState()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:b-low-1:Mode"] = "Off", ["Features:b-low-1:Reason"] = "one" });
        var told = new List<FeatureChange>();
        IDisposable subscription = host.Degradation.OnChange(told.Add);
        host.Reload(new() { ["Features:b-low-1:Mode"] = "Off", ["Features:b-low-1:Reason"] = "two" });
        FeatureChange change = Assert.Single(told);
        Assert.Equal(("one", "two"), (change.Before.Reason, change.After.Reason));
        Assert.Single(host.Logs.WithId(4000)); // the first one, at the start
        Assert.Empty(host.Logs.WithId(4001));

        subscription.Dispose();
        host.Reload(new() { ["Features:b-low-1"] = "Auto" });
        Assert.Single(told);
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(LowOne));
        Assert.Single(host.Logs.WithId(4001));
    }

    [Fact]
    public async Task Until_ByTheWallClock_EndsAtThatMomentAndNotBefore()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(samples: false);
        DateTimeOffset until = host.Time.GetUtcNow().AddMinutes(5);
        var told = new List<string>();
        using IDisposable subscription = host.Degradation.OnChange(change => told.Add($"{change.After.State} {(host.Time.GetUtcNow() - until).TotalMilliseconds.ToString(CultureInfo.InvariantCulture)}"));
        host.Reload(Until(until));
        Assert.Equal(until, host.Degradation.Decide(LowOne).Until);
        host.Time.Advance(until - host.Time.GetUtcNow() - TimeSpan.FromMilliseconds(1));
        Assert.Single(told);
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(LowOne));
        host.Time.Advance(TimeSpan.FromMilliseconds(1)); // nobody asks: it is told by itself
        Assert.Equal(["Normal 0"], told.Skip(1));
    }

    [Fact]
    public async Task Until_ManyDaysAway_EndsByItself()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(samples: false);
        DateTimeOffset until = host.Time.GetUtcNow().AddDays(100);
        host.Reload(Until(until));
        var ended = new List<DateTimeOffset>();
        using IDisposable subscription = host.Degradation.OnChange(_ => ended.Add(host.Time.GetUtcNow()));
        for (int hour = 0; hour < 101 * 24; hour++)
        {
            host.Time.Advance(TimeSpan.FromHours(1));
        }

        Assert.InRange(Assert.Single(ended) - until, TimeSpan.Zero, TimeSpan.FromHours(1));
    }

    [Fact]
    public async Task Until_FurtherAwayThanTheSystemsTimersGo_IsTaken()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(samples: false);
        string until = DateTimeOffset.UtcNow.AddDays(100).ToString("yyyy-MM-dd'T'HH:mm:ssK", CultureInfo.InvariantCulture);
        var settings = new DegradeSettings { Features = { ["b-low-1"] = new FeatureSettings { Mode = FeatureMode.Off, Until = until } } };
        using var book = new FeatureBook(LiveSettings<DegradeSettings>.Of("", "Resilience:Degrade", settings), TimeProvider.System, host.Services.GetRequiredService<DegradeMetrics>(), NullLogger<FeatureBook>.Instance);
        Assert.Equal(FeatureState.Off, book.SlotOf(book.Snapshot, LowOne).State);
    }

    [Fact]
    public async Task Endings_Several_EachComesAtItsOwnTime()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(samples: false);
        await host.Degradation.OverrideAsync(LowTwo, FeatureState.Off, "why", "who", TimeSpan.FromMinutes(3));
        await host.Degradation.OverrideAsync(BulkTwo, FeatureState.Off, "why", "who", TimeSpan.FromMinutes(1));
        DateTimeOffset start = host.Time.GetUtcNow();
        host.Reload(Until(start.AddMinutes(2)));
        var ended = new List<string>();
        using IDisposable subscription = host.Degradation.OnChange(change => ended.Add($"{change.Feature} {Math.Round((host.Time.GetUtcNow() - start).TotalMinutes, 2).ToString(CultureInfo.InvariantCulture)}"));
        for (int second = 0; second < 240; second++)
        {
            host.Time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(["b-bulk-2", "b-low-1", "b-low-2"], ended.Select(line => line.Split(' ')[0]));
        Assert.All(ended.Zip([1.0, 2.0, 3.0]), pair => Assert.InRange(double.Parse(pair.First.Split(' ')[1], CultureInfo.InvariantCulture), pair.Second, pair.Second + 0.02));
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("100", 20_000)]
    public async Task Percent_NobodyAndEverybody_AreExact(string percent, int expected)
    {
        await using DegradeHost host = await DegradeHost.StartAsync(Share(percent));
        Assert.Equal(expected, Hit(host).Count);
        Assert.Equal(FeatureState.Off, host.Degradation.Decide(LowOne).State); // who is nobody in particular gets what is configured
    }

    [Fact]
    public async Task Percent_Raised_KeepsWhoWasInAndOtherFeaturesDrawOthers()
    {
        await using DegradeHost few = await DegradeHost.StartAsync(Share("20"));
        await using DegradeHost more = await DegradeHost.StartAsync(Share("35"));
        HashSet<string> inFew = Hit(few);
        Assert.Subset(Hit(more), inFew);
        Assert.InRange(Hit(more).Count, 6_600, 7_400);
        await using DegradeHost other = await DegradeHost.StartAsync(new() { ["Features:b-low-2:Mode"] = "Off", ["Features:b-low-2:Percent"] = "20" });
        int both = inFew.Count(user => other.Degradation.Decide(LowTwo, new DegradationContext(user)).State == FeatureState.Off);
        Assert.InRange(both, 600, 1_000); // a fifth of a fifth
    }

    [Fact]
    public async Task Percent_OutsideOfTheShare_PressureStillHolds()
    {
        await using DegradeHost host = await StartPressedAsync(limit: 100, new() { ["Features:b-bulk-1:Mode"] = "Degraded", ["Features:b-bulk-1:Percent"] = "0" });
        Assert.Equal(FeatureState.Normal, host.Degradation.Decide(BulkOne, new DegradationContext("ann")).State);
        Press(host, 1_000);
        FeatureDecision decision = host.Degradation.Decide(BulkOne, new DegradationContext("ann"));
        Assert.Equal((FeatureState.Off, DecisionSource.Automatic), (decision.State, decision.Source));
    }

    [Fact]
    public async Task Exempt_UserOrGroup_IsSparedByConfigurationAndPressureAndNotByAnOverride()
    {
        await using DegradeHost host = await StartPressedAsync(limit: 100, new() { ["Features:b-bulk-1:Exempt:Users:0"] = "ann", ["Features:b-bulk-1:Exempt:Groups:0"] = "vip" });
        Press(host, 1_000);
        DegradationContext[] spared = [new("ann"), new("ann", "all"), new("bob", "vip"), new(Group: "vip")];
        DegradationContext[] others = [default, new("bob"), new("bob", "all"), new(Group: "ann"), new("vip")];
        Assert.All(spared, context => Assert.Equal(FeatureState.Normal, host.Degradation.Decide(BulkOne, context).State));
        Assert.All(others, context => Assert.Equal(FeatureState.Off, host.Degradation.Decide(BulkOne, context).State));
        await host.Degradation.OverrideAsync(BulkOne, FeatureState.Off, "why", "who");
        Assert.All(spared, context => Assert.Equal(FeatureState.Off, host.Degradation.Decide(BulkOne, context).State));
    }

    [Fact]
    public async Task Override_Ended_IsLoggedWithItsLength()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(samples: false);
        await host.Degradation.OverrideAsync(LowOne, FeatureState.Off, "why", "ann", TimeSpan.FromMinutes(5));
        host.Time.Advance(TimeSpan.FromMinutes(5) - TimeSpan.FromMilliseconds(1));
        Assert.Empty(host.Logs.WithId(4007));
        host.Time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Contains("'b-low-1' to Off by ann has ended after 00:05:00", Assert.Single(host.Logs.WithId(4007)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metrics_StatesAndTransitions_AreThoseOfTheBook()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(samples: false);
        using var metrics = new MetricCollector("Resilience.Degrade", host.Services.GetRequiredService<IMeterFactory>());
        await host.Degradation.OverrideAsync(LowOne, FeatureState.Degraded, "why", "who");
        await host.Degradation.OverrideAsync(LowOne, FeatureState.Degraded, "another reason", "who");
        Assert.Equal(1, metrics.Sum("resilience.degrade.feature.transitions", ("resilience.feature.name", "b-low-1"), ("resilience.feature.from", "normal"), ("resilience.feature.to", "degraded")));
        metrics.Observe();
        Assert.Equal(1, metrics.Sum("resilience.degrade.feature.state", ("resilience.feature.name", "b-low-1")));
        Assert.Equal(0, metrics.Sum("resilience.degrade.feature.state", ("resilience.feature.name", "b-low-2")));
    }

    [Fact]
    public async Task Dispose_NeitherTheClockNorSettingsChangeAnythingAnyMore()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(samples: false);
        FeatureBook book = host.Services.GetRequiredService<FeatureBook>();
        host.Reload(Until(host.Time.GetUtcNow().AddMinutes(5)));
        DegradationSnapshot last = book.Snapshot;
        book.Dispose();
        host.Time.Advance(TimeSpan.FromMinutes(10));
        Assert.Same(last, book.Snapshot);
        host.Reload(new() { ["Features:b-low-2"] = "Off" });
        Assert.Same(last, book.Snapshot);
        book.Refresh(); // who asks is told all the same
        Assert.NotSame(last, book.Snapshot);
    }

    [Fact]
    public async Task Settings_TheSameOnceMore_ChangeNothing()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:b-low-1"] = "Off" }, samples: false);
        FeatureBook book = host.Services.GetRequiredService<FeatureBook>();
        DegradationSnapshot before = book.Snapshot;
        book.Take(host.Services.GetRequiredKeyedService<LiveSettings<DegradeSettings>>("").Current);
        Assert.Same(before, book.Snapshot);
    }

    [Fact]
    public async Task Exempt_DecisionOfTheSpared_StaysTheSameWhateverChangesForOthers()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:b-low-1:Mode"] = "Off", ["Features:b-low-1:Exempt:Users:0"] = "ann" }, samples: false);
        FeatureDecision spared = host.Degradation.Decide(LowOne, new DegradationContext("ann"));
        Assert.Equal((FeatureState.Normal, DecisionSource.Default), (spared.State, spared.Source));
        host.Time.Advance(TimeSpan.FromMinutes(1));
        host.Reload(new() { ["Features:b-low-1:Mode"] = "Degraded", ["Features:b-low-1:Exempt:Users:0"] = "ann" });
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(LowOne));
        Assert.Same(spared, host.Degradation.Decide(LowOne, new DegradationContext("ann")));
    }

    [Fact]
    public void Rule_OfSettings_HasThemAndWhatTheyLeaveOpenFromTheFeature()
    {
        var plain = new FeatureRule(LowOne, new FeatureSettings());
        Assert.Equal((Priority.Low, PressureLevel.Elevated, PressureLevel.High), (plain.Priority, plain.DegradeAt!.Value, plain.OffAt!.Value));
        Assert.False(plain.IsTargeted);
        Assert.Null(plain.Until);
        Assert.Equal(0, plain.DrillShare);

        var set = new FeatureRule(LowOne, new FeatureSettings { Priority = Priority.Normal, OffAt = PressureLevel.Elevated, DegradeAt = PressureLevel.Elevated, Percent = 99.9, DrillPercent = 25, Until = "2030-01-01T00:00:00Z", Reason = "why" });
        Assert.Equal((Priority.Normal, PressureLevel.Elevated, PressureLevel.Elevated), (set.Priority, set.DegradeAt!.Value, set.OffAt!.Value));
        Assert.True(set.IsTargeted);
        Assert.Equal(new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero), set.Until);
        Assert.Equal(0.25, set.DrillShare);
        Assert.Equal(0, new FeatureRule(Guarded, new FeatureSettings { DrillPercent = 25 }).DrillShare); // its fallback says no: no drill
        Assert.True(new FeatureRule(LowOne, new FeatureSettings { Exempt = { Users = { "ann" } } }).IsTargeted);
        Assert.True(new FeatureRule(LowOne, new FeatureSettings { Exempt = { Groups = { "vip" } } }).IsTargeted);
    }

    private static void AssertSays(FeatureDecision decision, FeatureState state, DecisionSource source, string reason, PressureLevel level, DateTimeOffset since, DateTimeOffset? until)
    {
        Assert.Equal((state, source, reason, until), (decision.State, decision.Source, decision.Reason, decision.Until));
        Assert.Equal(since, decision.Since);
        if (source != DecisionSource.Default && source != DecisionSource.Configuration)
        {
            Assert.Equal(level, decision.Level); // of what holds since before the pressure, the level is of then
        }
    }

    private static Dictionary<string, string?> Until(DateTimeOffset until) => new()
    {
        ["Features:b-low-1:Mode"] = "Off",
        ["Features:b-low-1:Until"] = until.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK", CultureInfo.InvariantCulture),
    };

    private static Dictionary<string, string?> Share(string percent) => new() { ["Features:b-low-1:Mode"] = "Off", ["Features:b-low-1:Percent"] = percent };

    private static HashSet<string> Hit(DegradeHost host) =>
        [.. Enumerable.Range(0, 20_000).Select(i => $"user-{i}").Where(user => host.Degradation.Decide(LowOne, new DegradationContext(user)).State == FeatureState.Off)];

    /// <summary>A signal that presses on the features of this test alone.</summary>
    private static Task<DegradeHost> StartPressedAsync(int limit, Dictionary<string, string?>? settings = null, Func<double>? signal = null)
    {
        Dictionary<string, string?> all = new(settings ?? []) { ["MaxAutomaticOff"] = limit.ToString(CultureInfo.InvariantCulture), ["Pressure:Signals:queue.book:PressesAll"] = "false" };
        foreach (Feature feature in Pressed)
        {
            all[$"Features:{feature.Name}:Triggers:0"] = "queue:book";
        }

        return DegradeHost.StartAsync(all, builder => builder.AddSignal("queue:book", signal ?? (static () => 0.99)), samples: false);
    }

    private void Press(DegradeHost host, int milliseconds)
    {
        PressureMonitor monitor = host.Services.GetRequiredService<PressureMonitor>();
        for (int i = 0; i < milliseconds; i += 100)
        {
            monitor.Tick(new SystemSample(_now += 100, 100, 0, 0, 0, 0));
        }
    }
}
