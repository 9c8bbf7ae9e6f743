using System.Diagnostics.Metrics;
using Npgsql;
using Resilience.Context;
using Resilience.TestKit;
using Xunit;

namespace Resilience.Snippets;

/// <summary>What docs/testing.md shows.</summary>
internal static class TestKitSnippets
{
    public static async Task ManualClockAsync()
    {
        // snippet: manual-clock
        var time = new ManualTimeProvider();
        Task waiting = Task.Delay(TimeSpan.FromMinutes(5), time);

        await time.WaitForTimersAsync();         // the code under test has come to its wait
        time.Advance(TimeSpan.FromMinutes(5));   // fires what falls due, in order, on this thread
        time.SetUtcNow(time.GetUtcNow().AddHours(-1)); // the wall clock jumps; the monotonic one does not

        await waiting;
        // end-snippet
    }

    public static async Task WaitingAsync()
    {
        var time = new ManualTimeProvider();
        int written = 0;
        _ = Task.Run(() => Interlocked.Increment(ref written));
        Task linger = Task.Delay(TimeSpan.FromSeconds(5), time);

        // snippet: eventually
        await Eventually.TrueAsync(() => Volatile.Read(ref written) == 1, "the batch is written");
        await time.AdvanceUntilAsync(step: TimeSpan.FromMilliseconds(100), () => linger.IsCompleted, "the interval has passed");
        // end-snippet
    }

    public static void Leak()
    {
        // snippet: leak
        LeakAssert.Collected(probe =>
        {
            using RequestScope scope = RequestScope.Begin();
            _ = probe.Track(new byte[1_000], "payload");       // must be collectable afterwards
            probe.Keep(new Timer(static _ => { }, null, 0, 1_000)); // lives on, with all that it captured
        });
        // end-snippet
    }

    public static void Allocation()
    {
        // snippet: allocation
        AllocationAssert.AtMost(bytes: 0, () => { _ = RequestScope.Current; });
        // end-snippet
    }

    public static void Stress()
    {
        int taken = 0;
        // snippet: stress
        new StressRunner { Workers = 8 }.Run(
            worker =>
            {
                if (worker.Random.Next(10) < 5 && Interlocked.Increment(ref taken) >= 0)
                {
                    Interlocked.Decrement(ref taken);
                }
            },
            invariants: () => Assert.Equal(0, taken));
        // end-snippet
    }

    public static void FuzzText()
    {
        // snippet: fuzz
        Fuzz.Text(["250", "999999999999", ""], static text =>
        {
            if (DeadlineCodec.TryReadMilliseconds(text, out TimeSpan left))
            {
                Assert.True(left >= TimeSpan.Zero);
            }
        });
        // end-snippet
    }

    public static async Task ChaosAsync()
    {
        // snippet: chaos
        await using RedisServer redis = await RedisServer.StartNewAsync("maxmemory 10mb");
        await using ChaosProxy proxy = ChaosProxy.Start(redis);

        proxy.ToClient.Stalled = true;                       // answers are held back, none is lost
        proxy.ToClient.Delay = TimeSpan.FromMilliseconds(50);
        proxy.ToServer.BytesPerSecond = 1_000;
        proxy.ToClient.CutAfter(bytes: 100);                 // in the middle of an answer
        proxy.RefusesNew = true;
        proxy.Cut();                                         // resets what is open
        proxy.Forget();                                      // what is open is silent for ever, new connections are served
        proxy.Heal();

        redis.Pause();
        redis.Resume();
        await redis.KillAsync();
        await redis.StartAsync();                            // the same port
        // end-snippet
    }

    public static async Task DatabaseAsync(SharedPostgres shared)
    {
        // snippet: postgres
        PostgresServer postgres = await shared.GetAsync();   // one for the assembly; skips the test where there is none
        string connectionString = await postgres.CreateDatabaseAsync();
        await using NpgsqlDataSource database = NpgsqlDataSource.Create(connectionString);
        // end-snippet
    }

    public static void Metrics(IMeterFactory factory)
    {
        // snippet: metrics
        using var metrics = new MetricCollector("Resilience.Pools", factory);
        metrics.Observe();
        double timeouts = metrics.Sum("db.client.connection.timeouts", ("db.client.connection.pool.name", "orders"));
        // end-snippet
        Assert.Equal(0, timeouts);
    }
}
