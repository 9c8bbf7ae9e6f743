namespace Resilience.Context.Tests.Scopes;

/// <summary>Readers, owners and children against the end of a scope.</summary>
public sealed class ScopeRaceTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Propagate | ScopeFlow.Detach);

    [Fact]
    public void Race_ReadersAgainstEnd_NeverSeeNullOrForeignData()
    {
        // Every scope carries its own identifier as a value: a reader that raced the end may see it or nothing, never another's.
        // Seconds by default; a hundred million iterations in the nightly length.
        const int Workers = 4;
        const long NightlyIterations = 100_000_000;
        bool isNightly = Environment.GetEnvironmentVariable("NIGHTLY") == "1";
        RequestScope?[] slots = new RequestScope?[4];
        StressRunner runner = isNightly
            ? new StressRunner { Workers = Workers, MaxIterations = NightlyIterations / Workers, Duration = TimeSpan.FromHours(4) }
            : new StressRunner { Workers = Workers };
        long iterations = runner.Run(worker =>
        {
            if (worker.Index < 2)
            {
                string id = $"{worker.Index}-{worker.Iteration}";
                RequestScope scope = RequestScope.Begin(new ScopeOptions { Id = id, Timeout = TimeSpan.FromMinutes(1) });
                scope.Set(Tenant, id);
                Volatile.Write(ref slots[worker.Random.Next(slots.Length)], scope);
                scope.Dispose();
            }
            else if (Volatile.Read(ref slots[worker.Random.Next(slots.Length)]) is { } scope)
            {
                string? value = scope.Get(Tenant);
                if (value is not null && value != scope.Id)
                {
                    throw new InvalidOperationException($"Scope {scope.Id} gave {value}.");
                }

                _ = scope.Deadline.Remaining;
                _ = scope.Cause;
                if (worker.Random.Next(64) == 0)
                {
                    _ = scope.Token.IsCancellationRequested;
                }
            }
        });
        Assert.InRange(iterations, isNightly ? NightlyIterations : 1, long.MaxValue);
    }

    [Fact]
    public void Race_OwnAndChildrenAgainstEnd_AllAreEndedOnce()
    {
        new StressRunner { Workers = 2, Duration = TimeSpan.FromSeconds(1) }.Run(worker =>
        {
            int disposed = 0;
            RequestScope? child = null;
            RequestScope scope = RequestScope.Begin();
            int spin = worker.Random.Next(60);
            Parallel.Invoke(
                () =>
                {
                    try
                    {
                        scope.Own(new Callback(() => Interlocked.Increment(ref disposed)));
                    }
                    catch (ScopeEndedException)
                    {
                    }
                },
                () =>
                {
                    try
                    {
                        child = scope.BeginChild();
                    }
                    catch (ScopeEndedException)
                    {
                    }
                },
                () =>
                {
                    Thread.SpinWait(spin);
                    scope.Dispose();
                });
            Assert.Equal(1, Volatile.Read(ref disposed));
            Assert.True(child?.IsEnded ?? true);
            Assert.Null(RequestScope.Current);
        });
    }

    private sealed class Callback(Action action) : IDisposable
    {
        public void Dispose() => action();
    }
}
