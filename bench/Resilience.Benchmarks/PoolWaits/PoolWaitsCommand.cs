using System.Data.Common;
using System.Diagnostics;
using System.Globalization;
using Npgsql;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Benchmarks.PoolWaits;

/// <summary>
/// How long callers wait for a connection, not on average but at the 99th percentile, and how many queries get through: Npgsql's own pool
/// beside ours over Npgsql without one, against a real server, in turns. Neither resets the session between callers.
/// </summary>
internal static class PoolWaitsCommand
{
    public const string Usage = """
          pool-waits [SECONDS]
              queries a second and the wait for a connection at the 50th and 99th percentile, 1, 8 and 64 callers over 8 connections
        """;

    private const int Size = 8;
    private const int Rounds = 4;

    public static int Run(IReadOnlyList<string> arguments)
    {
        double seconds = arguments is [var first, ..] ? double.Parse(first, CultureInfo.InvariantCulture) : 1;
        RunAsync(TimeSpan.FromSeconds(seconds)).GetAwaiter().GetResult();
        return 0;
    }

    private static async Task RunAsync(TimeSpan each)
    {
        await using PostgresServer server = await PostgresServer.StartNewAsync();
        await using NpgsqlDataSource theirs = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(server.ConnectionString) { MaxPoolSize = Size, NoResetOnClose = true });
        string unpooled = new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false }.ConnectionString;
        await using var ours = new PooledDbDataSource("bench", () => new NpgsqlConnection(unpooled), new PoolOptions { MaxSize = Size });
        Console.Out.WriteLine("callers\tpool\tqueries_per_s\twait_p50_us\twait_p99_us");
        foreach (int callers in new[] { 1, 8, 64 })
        {
            var measured = new (string Name, DbDataSource Source, List<long> Waits)[] { ("Npgsql's pool", theirs, []), ("PooledDbDataSource", ours, []) };
            foreach ((_, DbDataSource source, _) in measured)
            {
                await MeasureAsync(source, callers, each / 2, []);
            }

            for (int round = 0; round < Rounds; round++)
            {
                foreach ((_, DbDataSource source, List<long> waits) in measured)
                {
                    await MeasureAsync(source, callers, each, waits);
                }
            }

            foreach ((string name, _, List<long> waits) in measured)
            {
                waits.Sort();
                double perSecond = waits.Count / (each.TotalSeconds * Rounds);
                Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{callers}\t{name}\t{perSecond:F0}\t{Microseconds(waits, 0.5):F1}\t{Microseconds(waits, 0.99):F1}"));
            }
        }
    }

    private static async Task MeasureAsync(DbDataSource source, int callers, TimeSpan time, List<long> waits)
    {
        long end = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
        List<long>[] all = await Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(async () =>
        {
            var own = new List<long>();
            while (Stopwatch.GetTimestamp() is var started && started < end)
            {
                await using DbConnection connection = await source.OpenConnectionAsync();
                own.Add(Stopwatch.GetTimestamp() - started);
                await using DbCommand command = connection.CreateCommand();
                command.CommandText = "select 1";
                await command.ExecuteScalarAsync();
            }

            return own;
        })));
        foreach (List<long> own in all)
        {
            waits.AddRange(own);
        }
    }

    private static double Microseconds(List<long> sorted, double percentile) =>
        sorted.Count == 0 ? 0 : sorted[Math.Min(sorted.Count - 1, (int)(sorted.Count * percentile))] * 1_000_000.0 / Stopwatch.Frequency;
}
