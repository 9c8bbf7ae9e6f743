namespace Resilience.Context.Tests.Scopes;

public sealed class ScopeCauseTests
{
    private readonly ManualTimeProvider _clock = new();

    [Fact]
    public void Cause_LiveScope_IsNone()
    {
        using RequestScope scope = RequestScope.Begin();
        Assert.Equal(ScopeCause.None, scope.Cause);
        Assert.False(scope.Token.IsCancellationRequested);
    }

    [Fact]
    public void Cause_HostTokenCancelled_IsClient()
    {
        using var host = new CancellationTokenSource();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Aborted = host.Token });
        CancellationToken token = scope.Token;
        Assert.NotEqual(host.Token, token);
        host.Cancel();
        Assert.True(token.IsCancellationRequested);
        Assert.Equal(ScopeCause.Client, scope.Cause);
        scope.Dispose();
        Assert.Equal(ScopeCause.Client, scope.Cause);
    }

    [Fact]
    public void Cause_HostTokenCancelledBeforeTokenIsRead_IsClient()
    {
        using var host = new CancellationTokenSource();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Aborted = host.Token });
        host.Cancel();
        Assert.Equal(ScopeCause.Client, scope.Cause);
        Assert.True(scope.Token.IsCancellationRequested);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Cause_DeadlinePassed_IsDeadline(bool hasToken)
    {
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        CancellationToken token = hasToken ? scope.Token : default;
        _clock.Advance(TimeSpan.FromMilliseconds(999));
        Assert.Equal(ScopeCause.None, scope.Cause);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(hasToken, token.IsCancellationRequested);
        Assert.Equal(ScopeCause.Deadline, scope.Cause);
        Assert.True(scope.Token.IsCancellationRequested);
        scope.Dispose();
        Assert.Equal(ScopeCause.Deadline, scope.Cause);
    }

    [Fact]
    public void Cause_SeenFromCallback_IsThereAlready()
    {
        var seen = new List<ScopeCause>();
        using var host = new CancellationTokenSource();
        foreach (Action<RequestScope> cancel in (Action<RequestScope>[])[_ => host.Cancel(), scope => scope.Dispose(), scope => scope.Cancel(ScopeCause.Shutdown), _ => _clock.Advance(TimeSpan.FromSeconds(1))])
        {
            RequestScope scope = RequestScope.Begin(new ScopeOptions { Aborted = seen.Count == 0 ? host.Token : default, Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
            scope.Token.UnsafeRegister(_ => seen.Add(scope.Cause), null);
            cancel(scope);
            scope.Dispose();
        }

        Assert.Equal([ScopeCause.Client, ScopeCause.Ended, ScopeCause.Shutdown, ScopeCause.Deadline], seen);
    }

    [Fact]
    public void Cause_ParentCancelled_IsParent()
    {
        using RequestScope parent = RequestScope.Begin();
        using RequestScope child = RequestScope.Begin();
        CancellationToken token = child.Token;
        parent.Cancel(ScopeCause.Client);
        Assert.True(token.IsCancellationRequested);
        Assert.Equal(ScopeCause.Parent, child.Cause);
        Assert.Equal(ScopeCause.Client, parent.Cause);
        Assert.False(child.IsEnded);
    }

    [Fact]
    public void Cause_ParentsDeadlinePassed_IsDeadlineForTheChildToo()
    {
        using RequestScope parent = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        using RequestScope child = RequestScope.Begin();
        _ = child.Token;
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(ScopeCause.Deadline, child.Cause);
    }

    [Fact]
    public void Cancel_ThenEnd_TheFirstCauseStays()
    {
        RequestScope scope = RequestScope.Begin();
        scope.Cancel(ScopeCause.Shutdown);
        scope.Cancel(ScopeCause.Client);
        Assert.True(scope.Token.IsCancellationRequested);
        scope.Dispose();
        Assert.Equal(ScopeCause.Shutdown, scope.Cause);
        Assert.Throws<ArgumentOutOfRangeException>(() => scope.Cancel(ScopeCause.Deadline));
    }

    [Fact]
    public void Token_ChildEnded_ParentGoesOn()
    {
        using RequestScope parent = RequestScope.Begin();
        using (RequestScope child = RequestScope.Begin())
        {
            _ = child.Token;
        }

        Assert.False(parent.Token.IsCancellationRequested);
    }

    [Fact]
    public void Token_RegisteredAfterTheEnd_FiresAtOnce()
    {
        RequestScope scope = RequestScope.Begin();
        CancellationToken token = scope.Token;
        scope.Dispose();
        bool fired = false;
        token.Register(() => fired = true);
        Assert.True(fired);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(token);
        Assert.True(linked.IsCancellationRequested);
    }

    [Fact]
    public void Token_RacingTheEnd_IsCancelledInTheEnd()
    {
        new StressRunner { Workers = 2, Duration = TimeSpan.FromMilliseconds(500) }.Run(_ =>
        {
            using var host = new CancellationTokenSource();
            RequestScope scope = RequestScope.Begin(new ScopeOptions { Aborted = host.Token, Timeout = TimeSpan.FromHours(1) });
            CancellationToken token = default;
            Parallel.Invoke(() => token = scope.Token, host.Cancel, scope.Dispose);
            Assert.True(token.IsCancellationRequested);
            Assert.NotEqual(ScopeCause.None, scope.Cause);
        });
    }

    [Fact]
    public void CallerTimeout_ShorterThanOwn_IsCallerChosen_AndInherited()
    {
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(5), CallerTimeout = TimeSpan.FromSeconds(1), TimeProvider = _clock });
        Assert.True(scope.IsDeadlineCallerChosen);
        Assert.Equal(TimeSpan.FromSeconds(1), scope.Deadline.Remaining);
        using RequestScope child = RequestScope.Begin();
        Assert.True(child.IsDeadlineCallerChosen);
        using RequestScope shorter = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromMilliseconds(1) });
        Assert.False(shorter.IsDeadlineCallerChosen);
    }

    [Fact]
    public void CallerTimeout_LongerThanOwn_IsNotCallerChosen()
    {
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1), CallerTimeout = TimeSpan.FromSeconds(5), TimeProvider = _clock });
        Assert.False(scope.IsDeadlineCallerChosen);
        Assert.Equal(TimeSpan.FromSeconds(1), scope.Deadline.Remaining);
    }
}
