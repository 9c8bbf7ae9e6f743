using System.Data.Common;
using System.Diagnostics;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Data;

/// <summary>Workers that query under a request deadline, over and over.</summary>
internal sealed class PostgresLoad
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Task[] _workers;
    private long _done;
    private long _failed;
    private long _slowest;

    /// <summary>Of a mixed load a third each runs bare queries, queries in transactions, and readers.</summary>
    public PostgresLoad(PooledDbDataSource source, int workers, TimeSpan deadline, bool mixed = false) =>
        _workers = [.. Enumerable.Range(0, workers).Select(worker => Task.Run(() => WorkAsync(source, deadline, mixed ? worker % 3 : 0)))];

    public long Done => Interlocked.Read(ref _done);

    public long Failed => Interlocked.Read(ref _failed);

    public TimeSpan Slowest => TimeSpan.FromTicks(Interlocked.Read(ref _slowest));

    public Exception? LastFailure { get; private set; }

    public Task UntilAsync(long done) => Eventually.TrueAsync(() => Done >= done, $"{done} queries, of which there are {Done}; the last failure: {LastFailure?.Message}");

    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_workers);
    }

    private async Task WorkAsync(PooledDbDataSource source, TimeSpan deadline, int kind)
    {
        while (!_stop.IsCancellationRequested)
        {
            long started = Stopwatch.GetTimestamp();
            try
            {
                using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = deadline });
                await using PooledDbConnection connection = await source.OpenConnectionAsync(scope.Token);
                await (kind switch
                {
                    1 => TransactAsync(connection, scope.Token),
                    2 => ReadAsync(connection, scope.Token),
                    _ => Postgres.SelectAsync(connection, scope.Token),
                });
                Interlocked.Increment(ref _done);
            }
            catch (Exception exception) when (exception is DbException or PoolException or OperationCanceledException or IOException)
            {
                Interlocked.Increment(ref _failed);
                LastFailure = exception;
                await Task.Delay(5);
            }

            long took = Stopwatch.GetElapsedTime(started).Ticks;
            for (long slowest = Interlocked.Read(ref _slowest); took > slowest;)
            {
                slowest = Interlocked.CompareExchange(ref _slowest, took, slowest);
            }
        }
    }

    private static async Task TransactAsync(PooledDbConnection connection, CancellationToken token)
    {
        await using DbTransaction transaction = await connection.BeginTransactionAsync(token);
        Assert.Equal(1, await Postgres.SelectAsync(connection, token));
        await transaction.CommitAsync(token);
    }

    /// <summary>More rows than come at once, so that the network is waited for between them.</summary>
    private static async Task ReadAsync(PooledDbConnection connection, CancellationToken token)
    {
        await using DbCommand command = connection.CreateCommand();
        command.CommandText = "select repeat('x', 1000) from generate_series(1, 200)";
        await using DbDataReader reader = await command.ExecuteReaderAsync(token);
        int rows = 0;
        while (await reader.ReadAsync(token))
        {
            rows++;
        }

        Assert.Equal(200, rows);
    }
}
