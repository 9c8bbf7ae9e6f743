using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Resilience.Benchmarks.Harness;
using Resilience.Context;

namespace Resilience.Benchmarks.Compare;

/// <summary>What ambient state costs: reading it, and beginning and ending it.</summary>
internal sealed class ContextGroup : ICompareGroup, IDisposable
{
    private static readonly AsyncLocal<object?> Bare = new();
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
        CompareCase.Sync("RequestScope.Begin + Dispose", () =>
        {
            var options = new ScopeOptions { Id = "benchmark", Timeout = TimeSpan.FromHours(1) };
            return operations =>
            {
                for (int i = 0; i < operations; i++)
                {
                    RequestScope.Begin(options).Dispose();
                }
            };
        }),
        CompareCase.Sync("RequestScope.Begin + Dispose, 2 threads", 2, _ =>
        {
            var options = new ScopeOptions { Id = "benchmark", Timeout = TimeSpan.FromHours(1) };
            return operations =>
            {
                for (int i = 0; i < operations; i++)
                {
                    RequestScope.Begin(options).Dispose();
                }
            };
        }),
    ];

    public void Dispose() => _accessor.HttpContext = null;
}
