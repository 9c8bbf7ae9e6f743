using System.Diagnostics;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http;
using Resilience.Benchmarks.Harness;
using Resilience.Context;

namespace Resilience.Benchmarks.Compare;

/// <summary>
/// Reads of ambient values, each in a method of its own that is not inlined, as a read stands in an application.
/// </summary>
/// <remarks>
/// In a bare loop the compiler fetches the address of the thread's storage, the dearest part of such a read, once for the whole batch
/// where the loop is simple enough, and each time where it is not. Rows of that kind cannot be compared: a bare AsyncLocal seemed to take
/// 1.8 ns. The call costs all rows the same; <c>static read</c> shows how much.
/// </remarks>
internal static class AmbientReads
{
    public static readonly AsyncLocal<object?> Bare = new();
    public static readonly HttpContextAccessor Accessor = new();
    public static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Detach);

    private static readonly Deadline Hour = Deadline.After(TimeSpan.FromHours(1));
    private static object? s_static = new();

    /// <summary>A read that gives an object.</summary>
    public interface IObjectRead
    {
        static abstract object? Read();
    }

    /// <summary>A read that gives a number.</summary>
    public interface INumberRead
    {
        static abstract long Read();
    }

    public static void Objects<TRead>(int operations)
        where TRead : struct, IObjectRead
    {
        object? last = null;
        for (int i = 0; i < operations; i++)
        {
            last = TRead.Read();
        }

        Sink.Keep(last);
    }

    public static void Numbers<TRead>(int operations)
        where TRead : struct, INumberRead
    {
        long last = 0;
        for (int i = 0; i < operations; i++)
        {
            last = TRead.Read();
        }

        Sink.Keep(last);
    }

    public readonly struct OfAsyncLocal : IObjectRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static object? Read() => Bare.Value;
    }

    public readonly struct OfStatic : IObjectRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static object? Read() => Volatile.Read(ref s_static);
    }

    public readonly struct OfActivity : IObjectRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static object? Read() => Activity.Current;
    }

    public readonly struct OfHttpContext : IObjectRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static object? Read() => Accessor.HttpContext;
    }

    public readonly struct OfScope : IObjectRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static object? Read() => RequestScope.Current;
    }

    public readonly struct OfItem : IObjectRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static object? Read() => RequestScope.Current!.Get(Tenant);
    }

    public readonly struct OfRemaining : INumberRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static long Read() => Hour.Remaining.Ticks;
    }

    public readonly struct OfScopeRemaining : INumberRead
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public static long Read() => RequestScope.Current!.Deadline.Remaining.Ticks;
    }
}
