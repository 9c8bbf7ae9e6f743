using System.Diagnostics;
using System.Security.Claims;

namespace Resilience.Context.Tests.Scopes;

public sealed class ScopeSnapshotTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Detach);
    private static readonly ScopeKey<string> Local = new("local");
    private static readonly ScopeKey<object> Anything = new("anything", ScopeFlow.Detach);

    [Fact]
    public void Detach_TakesWhatMayGo_AndNothingElse()
    {
        var clock = new ManualTimeProvider();
        RequestScope scope = RequestScope.Begin(new ScopeOptions { Id = "r-7", Priority = Priority.Low, Timeout = TimeSpan.FromSeconds(1), TimeProvider = clock });
        scope.Set(Tenant, "acme");
        scope.Set(Local, "stays");
        ScopeSnapshot snapshot = scope.Detach(TimeSpan.FromSeconds(30));
        scope.Dispose();
        clock.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal("r-7", snapshot.Id);
        Assert.Equal(Priority.Low, snapshot.Priority);
        Assert.Equal("acme", snapshot.Get(Tenant));
        Assert.False(snapshot.TryGet(Local, out _));
        Assert.Equal(TimeSpan.FromSeconds(20), snapshot.Deadline.Remaining);
    }

    [Fact]
    public void Begin_FromSnapshot_IsARootWithItsOwnLife()
    {
        RequestScope request = RequestScope.Begin(new ScopeOptions { Id = "r-8" });
        request.Set(Tenant, "acme");
        ScopeSnapshot snapshot = request.Detach(TimeSpan.FromMinutes(1));
        using RequestScope work = snapshot.Begin();
        request.Dispose();
        Assert.False(work.IsEnded);
        Assert.False(work.Token.IsCancellationRequested);
        Assert.Equal("r-8", work.Id);
        Assert.Equal("acme", work.Get(Tenant));
        work.Set(Tenant, "other");
        Assert.Equal("acme", snapshot.Get(Tenant));
    }

    [Fact]
    public void Detach_KeepsNothingOfTheScope() => LeakAssert.Collected(static probe =>
    {
        using RequestScope scope = RequestScope.Begin();
        scope.Set(new ScopeKey<Payload>("payload"), probe.Track(new Payload()));
        probe.Track(scope);
        scope.Set(Tenant, "acme");
        probe.Keep(scope.Detach(TimeSpan.FromMinutes(1)));
    });

    [Fact]
    public void Detach_InTrace_KeepsItsContext()
    {
        using var activity = new Activity("request");
        activity.Start();
        using RequestScope scope = RequestScope.Begin();
        Assert.Equal(activity.TraceId, scope.Detach(TimeSpan.FromSeconds(1)).Trace.TraceId);
    }

    [Fact]
    public void Set_ValueThatCannotBeDetached_IsRefused()
    {
        using RequestScope scope = RequestScope.Begin();
        Assert.Throws<ArgumentException>(() => scope.Set(Anything, new MemoryStream()));
        Assert.Throws<ArgumentException>(() => scope.Set(Anything, scope));
        Assert.Throws<ArgumentException>(() => scope.Set(Anything, (object)CancellationToken.None));
        Assert.Throws<ArgumentException>(() => scope.Set(Anything, (Action)(() => { })));
        scope.Set(Anything, new ClaimsIdentity());
        Assert.Throws<ArgumentException>(() => new ScopeKey<Stream>("stream", ScopeFlow.Detach));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void Detach_WithoutDeadline_IsRefused(int milliseconds)
    {
        using RequestScope scope = RequestScope.Begin();
        Assert.Throws<ArgumentOutOfRangeException>(() => scope.Detach(TimeSpan.FromMilliseconds(milliseconds)));
        Assert.Throws<ArgumentOutOfRangeException>(() => ScopeSnapshot.Create(TimeSpan.FromMilliseconds(milliseconds)));
    }

    [Fact]
    public void ScopeKey_ContradictionsAndBadNames_AreRefused()
    {
        Assert.Throws<ArgumentException>(() => new ScopeKey<string>("a b"));
        Assert.Throws<ArgumentException>(() => new ScopeKey<string>(""));
        Assert.Throws<ArgumentException>(() => new ScopeKey<string>(new string('a', 129)));
        Assert.Throws<ArgumentException>(() => new ScopeKey<string>("secret", ScopeFlow.Sensitive | ScopeFlow.Propagate));
        Assert.Throws<ArgumentException>(() => new ScopeKey<int>("number", ScopeFlow.Propagate));
    }
}
