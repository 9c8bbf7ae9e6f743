using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Benchmarks.Harness;
using Resilience.Context;

namespace Resilience.Benchmarks.Compare;

/// <summary>What ambient state costs: reading it, and beginning and ending it.</summary>
internal sealed class ContextGroup : ICompareGroup, IDisposable
{
    private static readonly AsyncLocal<object?> Bare = new();
    private static readonly ScopeOptions Options = new() { Timeout = TimeSpan.FromHours(1) };
    private static readonly ScopeOptions Nested = new();
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Detach);
    private static object? s_static = new();

    private readonly HttpContextAccessor _accessor = new();

    // Ambient values are set in a case's own set-up, which runs on the thread of its loop.
    public IReadOnlyList<CompareCase> Cases() =>
    [
        CompareCase.Sync("AsyncLocal read", () =>
        {
            Bare.Value = new object();
            return static operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = Bare.Value;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("static read", () => static operations =>
        {
            object? last = null;
            for (int i = 0; i < operations; i++)
            {
                last = Volatile.Read(ref s_static);
            }

            Sink.Keep(last);
        }),
        CompareCase.Sync("Activity.Current", () =>
        {
            new Activity("benchmark").Start();
            return static operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = Activity.Current;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("HttpContextAccessor.HttpContext", () =>
        {
            _accessor.HttpContext = new DefaultHttpContext();
            return operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = _accessor.HttpContext;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("RequestScope.Current", () =>
        {
            RequestScope.Begin();
            return static operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = RequestScope.Current;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("Deadline.Remaining", () =>
        {
            Deadline deadline = Deadline.After(TimeSpan.FromHours(1));
            return operations =>
            {
                long last = 0;
                for (int i = 0; i < operations; i++)
                {
                    last = deadline.Remaining.Ticks;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("Current.Deadline.Remaining", () =>
        {
            RequestScope.Begin(Options);
            return static operations =>
            {
                long last = 0;
                for (int i = 0; i < operations; i++)
                {
                    last = RequestScope.Current!.Deadline.Remaining.Ticks;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("Current.Get", () =>
        {
            RequestScope.Begin(Options).Set(Tenant, "acme");
            return static operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = RequestScope.Current!.Get(Tenant);
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("AsyncLocal set + restore", () => static operations =>
        {
            object value = new();
            for (int i = 0; i < operations; i++)
            {
                object? before = Bare.Value;
                Bare.Value = value;
                Bare.Value = before;
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
            scope.Set(Tenant, "acme");
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

    public void Dispose() => _accessor.HttpContext = null;

    private static void BeginAndDispose(int operations, ScopeOptions options)
    {
        for (int i = 0; i < operations; i++)
        {
            RequestScope.Begin(options).Dispose();
        }
    }
}
