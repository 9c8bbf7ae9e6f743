using System.Data.Common;
using Npgsql;
using Resilience.Benchmarks.Harness;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Benchmarks.Compare;

/// <summary>Npgsql's own pool beside ours over Npgsql without one, against a real server: 1, 8 and 64 callers over 8 connections. Neither resets the session between callers, which is a round trip's worth of work for the server.</summary>
internal sealed class PoolsPostgresGroup : ICompareGroup, IDisposable
{
    private const int Size = 8;

    private PostgresServer? _server;
    private NpgsqlDataSource? _theirs;
    private PooledDbDataSource? _ours;

    public IReadOnlyList<CompareCase> Cases()
    {
        _server = PostgresServer.StartNewAsync().GetAwaiter().GetResult();
        _theirs = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(_server.ConnectionString) { MaxPoolSize = Size, NoResetOnClose = true });
        string unpooled = new NpgsqlConnectionStringBuilder(_server.ConnectionString) { Pooling = false }.ConnectionString;
        _ours = new PooledDbDataSource("bench", () => new NpgsqlConnection(unpooled), new PoolOptions { MaxSize = Size });
        return
        [
            .. from query in new[] { "select 1", "select pg_sleep(0.005)" }
               from callers in new[] { 1, 8, 64 }
               from source in new (string Name, DbDataSource Source)[] { ("Npgsql's pool", _theirs), ("PooledDbDataSource", _ours) }
               select CompareCase.Async($"{source.Name}, {query}, {callers} over {Size}", callers, _ => operations => QueryAsync(source.Source, query, operations)),
        ];
    }

    public void Dispose()
    {
        _theirs?.Dispose();
        _ours?.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _server?.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }

    private static async Task QueryAsync(DbDataSource source, string query, int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            await using DbConnection connection = await source.OpenConnectionAsync();
            await using DbCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // one of two constants
            command.CommandText = query;
#pragma warning restore CA2100
            await command.ExecuteScalarAsync();
        }
    }
}
