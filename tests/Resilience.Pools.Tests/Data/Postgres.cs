using System.Data.Common;
using Npgsql;

namespace Resilience.Pools.Tests.Data;

/// <summary>What tests against a real server do over and over.</summary>
internal static class Postgres
{
    public static string Unpooled(string connectionString) => new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString;

    public static PooledDbDataSource Source(string connectionString, PoolOptions options, PooledDbOptions? databaseOptions = null) =>
        new("postgres", () => new NpgsqlConnection(Unpooled(connectionString)), options, databaseOptions);

    public static async Task RunAsync(DbConnection connection, string sql)
    {
        await using DbCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // the tests' own text
        command.CommandText = sql;
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync();
    }

    public static async Task<int> SelectAsync(DbConnection connection, CancellationToken token = default)
    {
        await using DbCommand command = connection.CreateCommand();
        command.CommandText = "select 1";
        return (int)(await command.ExecuteScalarAsync(token))!;
    }
}
