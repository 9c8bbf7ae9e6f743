using System.Diagnostics;
using System.Net;

namespace Resilience.AspNetCore.Tests.Admission;

/// <summary>What a load has met.</summary>
/// <param name="Sent">Requests that were due.</param>
/// <param name="Good">Those that were answered well within their deadline.</param>
/// <param name="Refused">Those that were answered with 503.</param>
/// <param name="CriticalSent">Critical ones that were due.</param>
/// <param name="CriticalGood">Critical ones that were answered well within their deadline.</param>
/// <param name="CriticalP99Ms">The 99th percentile of the good critical ones, in milliseconds.</param>
/// <param name="PerSecond">Good ones per second.</param>
internal sealed record LoadResult(int Sent, int Good, int Refused, int CriticalSent, int CriticalGood, double CriticalP99Ms, double PerSecond)
{
    public double CriticalShare => CriticalSent == 0 ? 1 : (double)CriticalGood / CriticalSent;
}

/// <summary>
/// Sends requests when they are due, whatever has become of those before, and measures each from the moment it was due: a generator that waits for
/// answers sends less just when the service is slow, and would hide it (coordinated omission).
/// </summary>
internal static class OpenLoop
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);

    public static HttpClient CreateClient(string address) => new(new SocketsHttpHandler { MaxConnectionsPerServer = 4_000, PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5) })
    {
        BaseAddress = new Uri(address),
        Timeout = Timeout.InfiniteTimeSpan,
    };

    /// <summary>As many callers as given, each with one request at a time: what the service can do.</summary>
    public static async Task<double> CapacityAsync(HttpClient client, int callers, TimeSpan duration)
    {
        long started = Stopwatch.GetTimestamp();
        int done = 0;
        await Task.WhenAll(Enumerable.Range(0, callers).Select(async _ =>
        {
            while (Stopwatch.GetElapsedTime(started) < duration)
            {
                using HttpResponseMessage response = await client.GetAsync(new Uri("/work/Critical", UriKind.Relative));
                if (response.StatusCode == HttpStatusCode.OK)
                {
                    Interlocked.Increment(ref done);
                }
            }
        }));
        return done / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    /// <summary>A constant rate with 5 / 25 / 70 % critical, normal and low.</summary>
    public static async Task<LoadResult> RunAsync(HttpClient client, double perSecond, TimeSpan duration, TimeSpan measureFrom)
    {
        var random = new Random(1);
        var pending = new List<Task<(bool Measured, bool Critical, int Status, double Ms)>>();
        long started = Stopwatch.GetTimestamp();
        int total = (int)(perSecond * duration.TotalSeconds);
        await Task.Run(async () =>
        {
            for (int i = 0; i < total; i++)
            {
                var due = TimeSpan.FromSeconds(i / perSecond);
                TimeSpan ahead = due - Stopwatch.GetElapsedTime(started);
                if (ahead > TimeSpan.FromMilliseconds(1.5))
                {
                    await Task.Delay(ahead);
                }

                double draw = random.NextDouble();
                string priority = draw < 0.05 ? "Critical" : draw < 0.30 ? "Normal" : "Low";
                pending.Add(SendAsync(client, priority, started, due, due >= measureFrom));
            }
        });
        (bool Measured, bool Critical, int Status, double Ms)[] all = [.. (await Task.WhenAll(pending)).Where(one => one.Measured)];
        var good = all.Where(one => one.Status == 200 && one.Ms <= Deadline.TotalMilliseconds).ToList();
        double[] critical = [.. good.Where(one => one.Critical).Select(one => one.Ms).Order()];
        return new LoadResult(
            all.Length,
            good.Count,
            all.Count(one => one.Status == 503),
            all.Count(one => one.Critical),
            critical.Length,
            critical.Length == 0 ? double.PositiveInfinity : critical[(int)((critical.Length - 1) * 0.99)],
            good.Count / (duration - measureFrom).TotalSeconds);
    }

    private static async Task<(bool, bool, int, double)> SendAsync(HttpClient client, string priority, long started, TimeSpan due, bool measured)
    {
        int status = 0;
        try
        {
            TimeSpan left = due + Deadline - Stopwatch.GetElapsedTime(started);
            using var gone = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.FromMilliseconds(1));
            using HttpResponseMessage response = await client.GetAsync(new Uri($"/work/{priority}", UriKind.Relative), gone.Token);
            status = (int)response.StatusCode;
        }
        catch (Exception exception) when (exception is OperationCanceledException or HttpRequestException)
        {
            // Nobody waits any longer: no answer.
        }

        return (measured, priority == "Critical", status, (Stopwatch.GetElapsedTime(started) - due).TotalMilliseconds);
    }
}
