using Microsoft.AspNetCore.Builder;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Scopes;

/// <summary>Ten thousand requests over a real server, each of which leaves a timer behind: what they carried must not stay.</summary>
/// <remarks>
/// What the kit answers for is the difference to the same requests, the same timers and the same flow without it: whatever else a host
/// has put into the flow, the timer captures that either way. Of each round three measurements of the live heap are taken: before the
/// requests, after them, and after the timers were let go. Between the last two no request runs, so what the timers <em>held</em> is exact
/// to a byte. What the requests <em>left</em> elsewhere, between the first and the last, has buffers of the server and the client and
/// threads of the pool in it; rounds are run in turns, and the median of them counts.
/// </remarks>
[Collection(HeapCollection.Name)]
public sealed class StrayTimerTests(ITestOutputHelper output)
{
    private const int Requests = 10_000;
    private const int Rounds = 3;
    private const int PayloadBytes = 4096;
    private const int BytesThatMayStay = 100;
    private const int BytesOfNoise = 20;
    private static readonly ScopeKey<byte[]> Payload = new("payload");
    private static readonly AsyncLocal<byte[]?> Raw = new();

    [Fact]
    public async Task TenThousandRequests_EachLeavesATimer_AtMost100BytesStayOfEach()
    {
        await using Leaver plain = await Leaver.StartAsync(usesScopes: false, static () => { });
        await using Leaver scoped = await Leaver.StartAsync(usesScopes: true, static () => RequestScope.Current!.Set(Payload, new byte[PayloadBytes]));
        await using Leaver raw = await Leaver.StartAsync(usesScopes: false, static () => Raw.Value = new byte[PayloadBytes]);

        double whole = (await raw.RunAsync(1_000)).Held;
        await plain.RunAsync(1_000);
        await scoped.RunAsync(1_000);
        double[] held = new double[Rounds];
        double[] left = new double[Rounds];
        for (int round = 0; round < Rounds; round++)
        {
            (double plainHeld, double plainLeft) = await plain.RunAsync(Requests);
            (double scopedHeld, double scopedLeft) = await scoped.RunAsync(Requests);
            (held[round], left[round]) = (scopedHeld - plainHeld, scopedLeft - plainLeft);
            output.WriteLine($"round {round}: a stray timer holds {plainHeld:0.0} B without the kit, {scopedHeld:0.0} B with it, {whole:0} B with the payload in a raw AsyncLocal; left elsewhere {plainLeft:0.0} B and {scopedLeft:0.0} B a request");
        }

        Array.Sort(held);
        Array.Sort(left);
        Assert.InRange(held[Rounds / 2], 0, BytesThatMayStay);
        Assert.True(left[Rounds / 2] <= BytesOfNoise, $"Besides the timers, something keeps {left[Rounds / 2]:0.0} B of each request.");
        Assert.InRange(whole, PayloadBytes, double.MaxValue);
    }

    /// <summary>A service whose handler leaves a timer behind that will never fire.</summary>
    private sealed class Leaver : IAsyncDisposable
    {
        private Timer?[] _stray = [];
        private int _begun;
        private int _ended;
        private ScopeApp? _app;

        public static async Task<Leaver> StartAsync(bool usesScopes, Action carry)
        {
            var leaver = new Leaver();
            leaver._app = await ScopeApp.StartAsync(app =>
            {
                // Outermost: the caller has its answer a little before the pipeline has come home and the scope has ended.
                app.Use(next => async context =>
                {
                    await next(context);
                    Interlocked.Increment(ref leaver._ended);
                });
                if (usesScopes)
                {
                    app.UseRequestScopes();
                }

                app.MapGet("/", () =>
                {
                    carry();
                    leaver._stray[Interlocked.Increment(ref leaver._begun) - 1] = new Timer(static _ => { }, null, Timeout.Infinite, Timeout.Infinite);
                    return "";
                });
            }, usesScopes: false);
            return leaver;
        }

        /// <summary>Sends requests and tells, in bytes per request, what their timers hold and what is left when these are gone.</summary>
        public async Task<(double Held, double Left)> RunAsync(int requests)
        {
            (_stray, _begun, _ended) = (new Timer?[requests], 0, 0);
            long before = LeakAssert.LiveBytes();
            await Parallel.ForEachAsync(Enumerable.Range(0, requests), new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = TestContext.Current.CancellationToken }, async (_, token) =>
                await _app!.Client.GetByteArrayAsync("/", token));
            while (Volatile.Read(ref _ended) < requests)
            {
                await Task.Yield();
            }

            Assert.Equal(requests, _begun);
            long with = LeakAssert.LiveBytes();
            LetGo();
            long after = LeakAssert.LiveBytes();
            return ((with - after) / (double)requests, (after - before) / (double)requests);
        }

        public async ValueTask DisposeAsync()
        {
            LetGo();
            await _app!.DisposeAsync();
        }

        private void LetGo()
        {
            foreach (Timer? timer in _stray)
            {
                timer?.Dispose();
            }

            Array.Clear(_stray);
        }
    }
}

/// <summary>Tests that measure the heap of the process: nothing may run beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class HeapCollection
{
    public const string Name = "heap";
}
