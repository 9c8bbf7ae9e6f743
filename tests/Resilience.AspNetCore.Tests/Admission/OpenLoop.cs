using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Admission;

/// <summary>What a load has met, of those that were due while it was measured.</summary>
/// <param name="Seconds">How long it was measured.</param>
/// <param name="Sent">Requests that were due.</param>
/// <param name="Good">Those that were answered well within their deadline.</param>
/// <param name="Refused">Those that were answered with 503.</param>
/// <param name="CriticalSent">Critical ones that were due.</param>
/// <param name="CriticalGood">Critical ones that were answered well within their deadline.</param>
/// <param name="CriticalP99Ms">
/// The 99th percentile of the critical ones that were not refused, in milliseconds; infinite when more than one in a hundred of them had no answer.
/// </param>
/// <param name="WorstLagMs">How late the generator itself was at worst.</param>
internal sealed record LoadResult(double Seconds, int Sent, int Good, int Refused, int CriticalSent, int CriticalGood, double CriticalP99Ms, double WorstLagMs)
{
    public double PerSecond => Good / Seconds;

    public double CriticalShare => (double)CriticalGood / CriticalSent;

    public double RestShare => (double)(Good - CriticalGood) / (Sent - CriticalSent);
}

/// <summary>
/// Sends requests when they are due, whatever has become of those before, and measures each from the moment it was due: a generator that waits for
/// answers sends less just when the service is slow, and would hide it (coordinated omission). It shares a small machine with the service: arrivals come
/// from a thread of its own, and a request costs it little. A caller that has waited for a second hangs up.
/// </summary>
internal sealed class OpenLoop(string address) : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);

    private readonly IPEndPoint _server = new(IPAddress.Loopback, new Uri(address).Port);
    private readonly ConcurrentStack<HttpConnection> _idle = new();
    private readonly byte[][] _requests = [.. Enum.GetValues<Priority>().Select(priority => HttpConnection.Request(new(IPAddress.Loopback, new Uri(address).Port), $"/work/{priority}"))];
    private long _started;

    /// <summary>Opens connections beforehand, as whoever calls a service all day has them.</summary>
    public async Task ConnectAsync(int connections)
    {
        for (int i = 0; i < connections; i++)
        {
            _idle.Push(await HttpConnection.OpenAsync(_server, CancellationToken.None));
        }
    }

    /// <summary>As many callers as given, each with one request at a time: what the service can do.</summary>
    public async Task<double> CapacityAsync(int callers, TimeSpan duration)
    {
        long started = Stopwatch.GetTimestamp();
        int done = 0;
        await Task.WhenAll(Enumerable.Range(0, callers).Select(async _ =>
        {
            while (Stopwatch.GetElapsedTime(started) < duration)
            {
                if (await AskAsync(Priority.Critical, CancellationToken.None) == 200)
                {
                    Interlocked.Increment(ref done);
                }
            }
        }));
        return done / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    /// <summary>A constant rate with 5 / 25 / 70 % critical, normal and low.</summary>
    public async Task<LoadResult> RunAsync(double perSecond, TimeSpan duration, TimeSpan measureFrom)
    {
        var calls = new Call[(int)(perSecond * duration.TotalSeconds)];
        var random = new Random(1);
        for (int i = 0; i < calls.Length; i++)
        {
            double draw = random.NextDouble();
            calls[i] = new Call(this, TimeSpan.FromSeconds(i / perSecond), draw < 0.05 ? Priority.Critical : draw < 0.30 ? Priority.Normal : Priority.Low);
        }

        TimeSpan worstLag = TimeSpan.Zero;
        var arrivals = new Thread(() => worstLag = Generate(calls)) { IsBackground = true, Priority = ThreadPriority.AboveNormal };
        _started = Stopwatch.GetTimestamp();
        arrivals.Start();
        await Task.WhenAll(calls.Select(call => call.Ended));
        arrivals.Join();
        Call[] measured = [.. calls.Where(call => call.Due >= measureFrom)];
        Call[] critical = [.. measured.Where(call => call.Priority == Priority.Critical)];
        double[] accepted = [.. critical.Where(call => call.Status != 503).Select(call => call.IsGood ? call.Ms : double.PositiveInfinity).Order()];
        return new LoadResult(
            (duration - measureFrom).TotalSeconds,
            measured.Length,
            measured.Count(call => call.IsGood),
            measured.Count(call => call.Status == 503),
            critical.Length,
            critical.Count(call => call.IsGood),
            accepted.Length == 0 ? double.PositiveInfinity : accepted[(int)((accepted.Length - 1) * 0.99)],
            worstLag.TotalMilliseconds);
    }

    public void Dispose()
    {
        foreach (HttpConnection connection in _idle)
        {
            connection.Dispose();
        }
    }

    private TimeSpan Generate(Call[] calls)
    {
        TimeSpan worst = TimeSpan.Zero;
        foreach (Call call in calls)
        {
            TimeSpan late;
            while ((late = Stopwatch.GetElapsedTime(_started) - call.Due) < TimeSpan.Zero)
            {
                Thread.Sleep(1); // never spins: what is due meanwhile goes out together
            }

            worst = late > worst ? late : worst;
            ThreadPool.UnsafeQueueUserWorkItem(call, preferLocal: false);
        }

        return worst;
    }

    private async ValueTask<int> AskAsync(Priority priority, CancellationToken gone)
    {
        HttpConnection connection = _idle.TryPop(out HttpConnection? idle) ? idle : await HttpConnection.OpenAsync(_server, gone);
        try
        {
            return await connection.AskAsync(_requests[(int)priority], gone);
        }
        finally
        {
            if (connection.IsReusable)
            {
                _idle.Push(connection);
            }
            else
            {
                connection.Dispose();
            }
        }
    }

    /// <summary>One request.</summary>
    private sealed class Call(OpenLoop loop, TimeSpan due, Priority priority) : IThreadPoolWorkItem
    {
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Ended => _ended.Task;

        public TimeSpan Due => due;

        public Priority Priority => priority;

        /// <summary>The status of its answer; 0 for none.</summary>
        public int Status { get; private set; }

        public double Ms { get; private set; }

        public bool IsGood => Status == 200 && Ms <= Deadline.TotalMilliseconds;

        public void Execute() => _ = RunAsync();

        private async Task RunAsync()
        {
            try
            {
                TimeSpan left = due + Deadline - Stopwatch.GetElapsedTime(loop._started);
                if (left > TimeSpan.Zero)
                {
                    using var gone = new CancellationTokenSource(left);
                    Status = await loop.AskAsync(priority, gone.Token);
                }
            }
            catch (Exception exception) when (exception is OperationCanceledException or IOException or SocketException)
            {
                // Nobody waits any longer, or nobody is there: no answer.
            }
            finally
            {
                Ms = (Stopwatch.GetElapsedTime(loop._started) - due).TotalMilliseconds;
                _ended.SetResult();
            }
        }
    }
}
