namespace Resilience.Context.Tests.Scopes;

public sealed class RequestScopeTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Propagate | ScopeFlow.Detach);
    private static readonly ScopeKey<int> Number = new("number");

    [Fact]
    public void Begin_Nested_KeepsParentAndRestoresIt()
    {
        using RequestScope outer = RequestScope.Begin();
        using (RequestScope inner = RequestScope.Begin())
        {
            Assert.Same(inner, RequestScope.Current);
        }

        Assert.Same(outer, RequestScope.Current);
        outer.Dispose();
        Assert.Null(RequestScope.Current);
    }

    [Fact]
    public void Begin_InSynchronousCallee_IsSeenByCaller()
    {
        using RequestScope scope = BeginHere();
        Assert.Same(scope, RequestScope.Current);

        static RequestScope BeginHere() => RequestScope.Begin();
    }

    [Fact]
    public async Task Begin_InAsynchronousCallee_IsNotSeenByCaller()
    {
        RequestScope scope = await BeginAsync();
        Assert.Null(RequestScope.Current);
        scope.Dispose();

        static async Task<RequestScope> BeginAsync()
        {
            RequestScope begun = RequestScope.Begin();
            await Task.Yield();
            return begun;
        }
    }

    [Fact]
    public async Task DisposeAsync_RestoresParentForCaller()
    {
        using RequestScope outer = RequestScope.Begin();
        await using (RequestScope.Begin())
        {
            await Task.Yield();
        }

        Assert.Same(outer, RequestScope.Current);
    }

    [Fact]
    public async Task Current_RestoreLostInAsyncMethod_HealsToParent()
    {
        using RequestScope outer = RequestScope.Begin();
        RequestScope inner = RequestScope.Begin();
        await EndAsync(inner);
        Assert.Same(outer, RequestScope.Current);

        static async Task EndAsync(RequestScope scope)
        {
            await Task.Yield();
            scope.Dispose();
        }
    }

    [Fact]
    public void Dispose_OutOfOrder_ResurrectsNothing()
    {
        RequestScope outer = RequestScope.Begin();
        outer.Set(Tenant, "acme");
        RequestScope inner = RequestScope.Begin();
        outer.Dispose();
        Assert.True(inner.IsEnded);
        Assert.Equal(ScopeCause.Parent, inner.Cause);
        Assert.Null(RequestScope.Current);
        inner.Dispose();
        Assert.Null(RequestScope.Current);
    }

    [Fact]
    public void Dispose_MiddleOfThree_CurrentIsTheOutermost()
    {
        using RequestScope first = RequestScope.Begin();
        RequestScope second = RequestScope.Begin();
        RequestScope third = RequestScope.Begin();
        second.Dispose();
        Assert.True(third.IsEnded);
        Assert.Same(first, RequestScope.Current);
        using RequestScope fourth = RequestScope.Begin();
        first.Dispose();
        Assert.True(fourth.IsEnded);
    }

    [Fact]
    public async Task Begin_ChildInTask_LeavesParentIntact()
    {
        using RequestScope parent = RequestScope.Begin();
        parent.Set(Tenant, "acme");
        await Task.Run(() =>
        {
            using RequestScope child = RequestScope.Begin();
            child.Set(Tenant, "other");
            Assert.Equal("other", RequestScope.Current!.Get(Tenant));
        }, TestContext.Current.CancellationToken);
        Assert.Same(parent, RequestScope.Current);
        Assert.Equal("acme", parent.Get(Tenant));
    }

    [Fact]
    public async Task Set_SiblingsInParallel_AreIsolated()
    {
        using RequestScope parent = RequestScope.Begin();
        parent.Set(Number, -1);
        await Parallel.ForEachAsync(Enumerable.Range(0, 200), async (number, _) =>
        {
            using RequestScope child = parent.BeginChild();
            Assert.Equal(-1, child.Get(Number));
            child.Set(Number, number);
            await Task.Yield();
            Assert.Equal(number, RequestScope.Current!.Get(Number));
        });
        Assert.Equal(-1, parent.Get(Number));
    }

    [Fact]
    public void Set_InParallelOnOneScope_LosesNothing()
    {
        using RequestScope scope = RequestScope.Begin();
        ScopeKey<int>[] keys = [.. Enumerable.Range(0, 64).Select(index => new ScopeKey<int>($"k{index}"))];
        Parallel.For(0, keys.Length, index => scope.Set(keys[index], index));
        Assert.All(keys, (key, index) => Assert.Equal(index, scope.Get(key)));
    }

    [Fact]
    public void Get_ChildAfterParentsLaterSet_SeesWhatItInherited()
    {
        using RequestScope parent = RequestScope.Begin();
        parent.Set(Tenant, "first");
        using RequestScope child = parent.BeginChild();
        parent.Set(Tenant, "second");
        Assert.Equal("first", child.Get(Tenant));
    }

    [Fact]
    public void AfterEnd_IdStays_ReadsAreAbsent_WritesThrow_TokenIsCancelled()
    {
        RequestScope scope = RequestScope.Begin(new ScopeOptions { Id = "r-1", Timeout = TimeSpan.FromHours(1), Priority = Priority.Critical });
        scope.Set(Tenant, "acme");
        scope.Dispose();

        Assert.Equal("r-1", scope.Id);
        Assert.True(scope.IsEnded);
        Assert.Equal(ScopeCause.Ended, scope.Cause);
        Assert.False(scope.TryGet(Tenant, out _));
        Assert.Null(scope.Get(Tenant));
        Assert.True(scope.Deadline.IsNone);
        Assert.Equal(Priority.Normal, scope.Priority);
        Assert.True(scope.Token.IsCancellationRequested);
        var error = Assert.Throws<ScopeEndedException>(() => scope.Set(Tenant, "late"));
        Assert.Equal("r-1", error.ScopeId);
        Assert.DoesNotContain("late", error.Message, StringComparison.Ordinal);
        Assert.Throws<ScopeEndedException>(() => scope.Detach(TimeSpan.FromSeconds(1)));
        Assert.Throws<ScopeEndedException>(() => scope.BeginChild());
        using var owned = new CancellationTokenSource();
        Assert.Throws<ScopeEndedException>(() => scope.Own(owned));
        Assert.Throws<ObjectDisposedException>(() => owned.Token);
    }

    [Fact]
    public void Id_ReadBeforeAndAfterTheEnd_IsTheSame()
    {
        RequestScope scope = RequestScope.Begin();
        string id = scope.Id;
        scope.Dispose();
        Assert.Equal(id, scope.Id);
    }

    [Fact]
    public void Id_FirstReadAfterTheEnd_IsStableAndItsOwn()
    {
        RequestScope first = RequestScope.Begin();
        first.Dispose();
        RequestScope second = RequestScope.Begin();
        second.Dispose();
        Assert.Equal(first.Id, first.Id);
        Assert.NotEqual(first.Id, second.Id);
        Assert.Equal(ScopeCause.Ended, first.Cause);
    }

    [Fact]
    public void Id_OfChild_IsItsParentsInWhateverOrderTheyAreRead()
    {
        RequestScope parent = RequestScope.Begin();
        RequestScope child = RequestScope.Begin();
        RequestScope named = RequestScope.Begin(new ScopeOptions { Id = "part-2" });
        parent.Dispose();
        Assert.Equal(child.Id, parent.Id);
        Assert.Equal("part-2", named.Id);
    }

    [Fact]
    public void Id_RacingTheEnd_IsOneForAllReaders()
    {
        new StressRunner { Workers = 2, Duration = TimeSpan.FromMilliseconds(300) }.Run(_ =>
        {
            RequestScope scope = RequestScope.Begin();
            string? other = null;
            Parallel.Invoke(() => other = scope.Id, scope.Dispose);
            Assert.Equal(scope.Id, other);
        });
    }

    [Fact]
    public void Deadline_OfChild_IsTheEarlierOfBoth()
    {
        var clock = new ManualTimeProvider();
        using RequestScope parent = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(2), TimeProvider = clock });
        using RequestScope longer = parent.BeginChild(new ScopeOptions { Timeout = TimeSpan.FromSeconds(9) });
        using RequestScope shorter = parent.BeginChild(new ScopeOptions { Timeout = TimeSpan.FromSeconds(1) });
        Assert.Equal(parent.Deadline, longer.Deadline);
        Assert.Equal(TimeSpan.FromSeconds(1), shorter.Deadline.Remaining);
    }

    [Fact]
    public async Task RunAsync_EndsScopeAfterWork_FailedOrNot()
    {
        RequestScope? seen = null;
        int result = await RequestScope.RunAsync(new ScopeOptions { Id = "run" }, 20, async (scope, state) =>
        {
            await Task.Yield();
            Assert.Same(scope, RequestScope.Current);
            seen = scope;
            return state + 1;
        });
        Assert.Equal(21, result);
        Assert.True(seen!.IsEnded);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await RequestScope.RunAsync(null, 0, (scope, _) =>
        {
            seen = scope;
            throw new InvalidOperationException();
        }));
        Assert.True(seen.IsEnded);
        Assert.Null(RequestScope.Current);
    }
}
