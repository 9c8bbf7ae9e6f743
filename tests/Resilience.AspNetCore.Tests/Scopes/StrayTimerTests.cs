using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Scopes;

/// <summary>Ten thousand requests over a real server, each of which leaves a timer behind: what they carried must not stay.</summary>
[Collection(HeapCollection.Name)]
public sealed class StrayTimerTests
{
    private const int Requests = 10_000;
    private const int PayloadBytes = 4096;
    private static readonly ScopeKey<byte[]> Payload = new("payload");
    private static readonly AsyncLocal<byte[]?> Raw = new();
    private static readonly ConcurrentBag<Timer> Stray = [];

    [Fact]
    public async Task TenThousandRequests_EachLeavesATimer_AtMost100BytesStayOfEach()
    {
        double floor = await BytesPerRequestAsync(static () =>
        {
            using (ExecutionContext.SuppressFlow())
            {
                Leave();
            }
        });

        // What else the process keeps meanwhile (connections, tiered code's data) can only add to a measurement, so the least of three counts.
        double scoped = double.MaxValue;
        for (int attempt = 0; attempt < 3 && scoped - floor > 100; attempt++)
        {
            scoped = Math.Min(scoped, await BytesPerRequestAsync(static () =>
            {
                RequestScope.Current!.Set(Payload, new byte[PayloadBytes]);
                Leave();
            }));
        }

        double raw = await BytesPerRequestAsync(static () =>
        {
            Raw.Value = new byte[PayloadBytes];
            Leave();
        });
        TestContext.Current.TestOutputHelper?.WriteLine($"a timer alone {floor:0} B, with a scope {scoped:0} B, with a raw AsyncLocal {raw:0} B a request");
        Assert.InRange(scoped - floor, double.MinValue, 100);
        Assert.InRange(raw - floor, PayloadBytes, double.MaxValue);
    }

    private static void Leave() => Stray.Add(new Timer(static _ => { }, null, Timeout.Infinite, Timeout.Infinite));

    private static async Task<double> BytesPerRequestAsync(Action handle)
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/", () =>
        {
            handle();
            return "";
        }));
        try
        {
            await SendAsync(app, 500);
            long before = LeakAssert.LiveBytes();
            await SendAsync(app, Requests);
            return (LeakAssert.LiveBytes() - before) / (double)Requests;
        }
        finally
        {
            foreach (Timer timer in Stray)
            {
                await timer.DisposeAsync();
            }

            Stray.Clear();
        }
    }

    private static Task SendAsync(ScopeApp app, int count) =>
        Parallel.ForEachAsync(Enumerable.Range(0, count), new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = TestContext.Current.CancellationToken }, async (_, token) =>
            await app.Client.GetByteArrayAsync("/", token));
}

/// <summary>Tests that measure the heap of the process: nothing may run beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class HeapCollection
{
    public const string Name = "heap";
}
