using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Benchmarks.Harness;
using Resilience.Context;

namespace Resilience.Benchmarks.Compare;

/// <summary>What ambient state costs: reading it, and beginning and ending it.</summary>
internal sealed class ContextGroup : ICompareGroup
{
    private static readonly ScopeOptions Options = new() { Timeout = TimeSpan.FromHours(1) };
    private static readonly ScopeOptions Nested = new();

    // Ambient values are set in a case's own set-up, which runs on the thread of its loop: each flow holds this one value, so that all
    // maps of AsyncLocals have the same shape.
    public IReadOnlyList<CompareCase> Cases() =>
    [
        CompareCase.Sync("AsyncLocal read", static () =>
        {
            AmbientReads.Bare.Value = new object();
            return AmbientReads.Objects<AmbientReads.OfAsyncLocal>;
        }),
        CompareCase.Sync("static read", static () => AmbientReads.Objects<AmbientReads.OfStatic>),
        CompareCase.Sync("Activity.Current", static () =>
        {
            new Activity("benchmark").Start();
            return AmbientReads.Objects<AmbientReads.OfActivity>;
        }),
        CompareCase.Sync("HttpContextAccessor.HttpContext", static () =>
        {
            AmbientReads.Accessor.HttpContext = new DefaultHttpContext();
            return AmbientReads.Objects<AmbientReads.OfHttpContext>;
        }),
        CompareCase.Sync("RequestScope.Current", static () =>
        {
            RequestScope.Begin();
            return AmbientReads.Objects<AmbientReads.OfScope>;
        }),
        CompareCase.Sync("Deadline.Remaining", static () => AmbientReads.Numbers<AmbientReads.OfRemaining>),
        CompareCase.Sync("Current.Deadline.Remaining", static () =>
        {
            RequestScope.Begin(Options);
            return AmbientReads.Numbers<AmbientReads.OfScopeRemaining>;
        }),
        CompareCase.Sync("Current.Get", static () =>
        {
            RequestScope.Begin(Options).Set(AmbientReads.Tenant, "acme");
            return AmbientReads.Objects<AmbientReads.OfItem>;
        }),
        CompareCase.Sync("AsyncLocal set + restore", () => static operations =>
        {
            object value = new();
            for (int i = 0; i < operations; i++)
            {
                object? before = AmbientReads.Bare.Value;
                AmbientReads.Bare.Value = value;
                AmbientReads.Bare.Value = before;
            }
        }),
        CompareCase.Sync("RequestScope.Begin + Dispose", () => static operations => BeginAndDispose(operations, Options)),
        CompareCase.Sync("RequestScope.Begin + Dispose, 2 threads", 2, static _ => static operations => BeginAndDispose(operations, Options)),
        CompareCase.Sync("Begin + Dispose, leak detector on", () =>
        {
            var options = new ScopeOptions { Timeout = TimeSpan.FromHours(1), Monitor = new ScopeMonitor(new LeakSettings()) };
            return operations => BeginAndDispose(operations, options);
        }),
        CompareCase.Sync("child Begin + Dispose", () =>
        {
            RequestScope.Begin(Options);
            return static operations => BeginAndDispose(operations, Nested);
        }),
        CompareCase.Sync("Begin + Token + Dispose", () => static operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                using RequestScope scope = RequestScope.Begin(Options);
                _ = scope.Token;
            }
        }),
        CompareCase.Sync("CancellationTokenSource with a timer", () => static operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                using var source = new CancellationTokenSource(TimeSpan.FromHours(1));
                _ = source.Token;
            }
        }),
        CompareCase.Sync("Detach", () =>
        {
            RequestScope scope = RequestScope.Begin(Options);
            scope.Set(AmbientReads.Tenant, "acme");
            return operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = scope.Detach(TimeSpan.FromSeconds(30));
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("background enqueue + run", () =>
        {
            var settings = new BackgroundQueueSettings { Capacity = 100_000, Workers = 1 };
            var queue = new BackgroundWorkQueue("benchmark", () => settings, new ServiceCollection().BuildServiceProvider().GetRequiredService<IServiceScopeFactory>());
            queue.StartAsync(CancellationToken.None).GetAwaiter().GetResult();
            ScopeSnapshot snapshot = ScopeSnapshot.Create(TimeSpan.FromHours(1));
            return operations =>
            {
                // A batch is over when its last item has run; the queue never fills, so nothing is refused.
                using var done = new CountdownEvent(operations);
                for (int i = 0; i < operations; i++)
                {
                    while (!queue.TryEnqueue(snapshot, done, static (_, done, _) =>
                    {
                        done.Signal();
                        return ValueTask.CompletedTask;
                    }))
                    {
                        Thread.Yield();
                    }
                }

                done.Wait();
            };
        }),
    ];

    private static void BeginAndDispose(int operations, ScopeOptions options)
    {
        for (int i = 0; i < operations; i++)
        {
            RequestScope.Begin(options).Dispose();
        }
    }
}
