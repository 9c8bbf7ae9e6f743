using System.Diagnostics;
using System.Globalization;
using Microsoft.AspNetCore.Connections;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.OverloadService;

/// <summary>Counts how far connections and requests come, so that an overload can be looked into: where do they stay?</summary>
internal sealed class Stages
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);

    private long _accepted;
    private long _closed;
    private long _seen;
    private long _refused;
    private long _finished;
    private long _late;
    private long _aborted;

    public ConnectionDelegate CountConnection(ConnectionDelegate next) => async connection =>
    {
        Interlocked.Increment(ref _accepted);
        try
        {
            await next(connection);
        }
        finally
        {
            Interlocked.Increment(ref _closed);
        }
    };

    public async Task CountRequest(HttpContext context, RequestDelegate next)
    {
        Interlocked.Increment(ref _seen);
        long started = Stopwatch.GetTimestamp();
        try
        {
            await next(context);
        }
        finally
        {
            ref long stage = ref context.Response.StatusCode == StatusCodes.Status503ServiceUnavailable ? ref _refused
                : ref context.RequestAborted.IsCancellationRequested ? ref _aborted
                : ref Stopwatch.GetElapsedTime(started) > Deadline ? ref _late
                : ref _finished;
            Interlocked.Increment(ref stage);
        }
    }

    /// <summary>One line a second, from the thread that calls; for ever.</summary>
    public void Tell(AdmissionController admission)
    {
        var before = new long[8];
        for (int second = 1; ; second++)
        {
            Thread.Sleep(1_000);
            long[] now = [Read(ref _accepted), Read(ref _closed), Read(ref _seen), Read(ref _refused), Read(ref _finished), Read(ref _late), Read(ref _aborted), (long)Environment.CpuUsage.TotalTime.TotalMilliseconds];
            long[] passed = [.. now.Zip(before, static (after, earlier) => after - earlier)];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"stages {second} accepted={passed[0]} closed={passed[1]} open={now[0] - now[1]} seen={passed[2]} refused={passed[3]} finished={passed[4]} late={passed[5]} aborted={passed[6]} cpu={passed[7]} ms"
                + $" hot={admission.IsHot} inside={admission.Inside} limit={admission.LimitOf(Priority.Normal)} queued={ThreadPool.PendingWorkItemCount} threads={ThreadPool.ThreadCount} gc={GC.CollectionCount(0)}/{GC.CollectionCount(2)}"));
            before = now;
        }
    }

    private static long Read(ref long value) => Interlocked.Read(ref value);
}
