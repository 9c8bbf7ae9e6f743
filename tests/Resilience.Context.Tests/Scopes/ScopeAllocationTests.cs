namespace Resilience.Context.Tests.Scopes;

[Collection(HeapCollection.Name)]
public sealed class ScopeAllocationTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Detach);
    private static readonly ScopeKey<string> Local = new("local");
    private static readonly ScopeOptions Options = new() { Timeout = TimeSpan.FromSeconds(10) };
    private static readonly AsyncLocal<object?> Bare = new();

    [Fact]
    public void CurrentRemainingGet_AllocateNothing()
    {
        using RequestScope scope = RequestScope.Begin(Options);
        scope.Set(Tenant, "acme");
        AllocationAssert.AtMost(0, static () => _ = RequestScope.Current);
        AllocationAssert.AtMost(0, static () => _ = RequestScope.Current!.Deadline.Remaining);
        AllocationAssert.AtMost(0, static () => _ = RequestScope.Current!.Deadline.IsExpired);
        AllocationAssert.AtMost(0, static () => _ = RequestScope.Current!.Get(Tenant));
        AllocationAssert.AtMost(0, static () => _ = RequestScope.Current!.Id);
    }

    [Fact]
    public void BeginAndDispose_AtMost200BytesBeyondTheExecutionContext()
    {
        object value = new();
        double bare = AllocationAssert.BytesPerOperation(() =>
        {
            Bare.Value = value;
            Bare.Value = null;
        });
        double scoped = AllocationAssert.BytesPerOperation(static () => RequestScope.Begin(Options).Dispose());
        TestContext.Current.TestOutputHelper?.WriteLine($"bare set and restore {bare} B, Begin + Dispose {scoped} B");
        Assert.InRange(scoped - bare, 1, 200);
    }

    [Fact]
    public void BeginAndDispose_WithLeakDetector_AllocatesNoMoreThanWithout()
    {
        using var monitor = new ScopeMonitor(new LeakSettings { StackSampling = 0 });
        var options = new ScopeOptions { Monitor = monitor, Timeout = TimeSpan.FromSeconds(10) };
        RequestScope.Begin(options).Dispose();
        double without = AllocationAssert.BytesPerOperation(static () => RequestScope.Begin(Options).Dispose());
        AllocationAssert.AtMost(without, () => RequestScope.Begin(options).Dispose());
    }

    [Fact]
    public void Detach_SnapshotIsAtMost96Bytes()
    {
        using RequestScope scope = RequestScope.Begin(Options);
        scope.Set(Tenant, "acme");
        _ = scope.Id;
        AllocationAssert.AtMost(96, () => scope.Detach(TimeSpan.FromSeconds(30)));
    }

    [Theory]
    [InlineData(false, 100)] // 72 of the runtime's context, 24 of the scope
    [InlineData(true, 124)] // and 24 of the identifier, which stays for logs once somebody has read it
    public void StrayCaptureOfEndedScope_KeepsItsShell(bool readsId, int most)
    {
        // On a thread whose flow carries nothing else: what the test runner keeps there would be counted too.
        double each = 0;
        var thread = new Thread(() => each = Measure(readsId));
        thread.UnsafeStart();
        thread.Join();
        TestContext.Current.TestOutputHelper?.WriteLine($"{each:0.#} B per captured context");
        Assert.InRange(each, 24, most);

        static double Measure(bool readsId)
        {
            // What letting them go frees: nothing else happens between the two measurements, so nothing else is counted.
            const int Count = 20_000;
            object?[] contexts = new object?[Count];
            Capture(contexts, Count, readsId);
            long with = LeakAssert.LiveBytes();
            Array.Clear(contexts);
            return (with - LeakAssert.LiveBytes()) / (double)Count;
        }

        // The whole of it, the runtime's own execution context included.
        static void Capture(object?[] contexts, int count, bool readsId)
        {
            for (int index = 0; index < count; index++)
            {
                using RequestScope scope = RequestScope.Begin(Options);
                scope.Set(Local, new string('x', 100));
                _ = readsId ? scope.Id : null;
                contexts[index] = ExecutionContext.Capture();
            }
        }
    }

    [Fact]
    public void Token_ManyChildrenOfLongLivedParent_LeaveNoRegistration()
    {
        using RequestScope parent = RequestScope.Begin(new ScopeOptions { LongLived = true });
        _ = parent.Token;
        for (int warm = 0; warm < 100; warm++)
        {
            UseChild(parent);
        }

        const int Children = 20_000;
        long before = LeakAssert.LiveBytes();
        for (int child = 0; child < Children; child++)
        {
            UseChild(parent);
        }

        // 143 bytes each is what a linked source costs that nobody disposes.
        Assert.InRange((LeakAssert.LiveBytes() - before) / (double)Children, double.MinValue, 40);

        static void UseChild(RequestScope parent)
        {
            using RequestScope child = parent.BeginChild();
            _ = child.Token;
        }
    }
}
