using System.Data;
using System.Data.Common;

namespace Resilience.Pools;

/// <summary>Opens, checks and closes the provider's own connections, whose own pooling must be off.</summary>
internal sealed class DbConnectionFactory(Func<DbConnection> create, PooledDbOptions options) : IResourceFactory<DbConnection>
{
    public bool Resets => !string.IsNullOrEmpty(options.ResetSql);

    public async ValueTask<DbConnection> CreateAsync(CancellationToken cancellationToken)
    {
        DbConnection connection = create();
        try
        {
            await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public ValueTask<bool> ValidateAsync(DbConnection resource, CancellationToken cancellationToken) =>
        resource.State != ConnectionState.Open ? new(false) : RunAsync(resource, options.ValidateSql, cancellationToken);

    public ValueTask<bool> ResetAsync(DbConnection resource, CancellationToken cancellationToken) =>
        resource.State != ConnectionState.Open ? new(false) : RunAsync(resource, options.ResetSql, cancellationToken);

    public ValueTask DestroyAsync(DbConnection resource, CancellationToken cancellationToken) => resource.DisposeAsync();

    /// <summary>A failed statement leaves the connection open; a broken connection does not stay open.</summary>
    public bool IsFatal(DbConnection resource, Exception exception) => resource.State != ConnectionState.Open;

    private static async ValueTask<bool> RunAsync(DbConnection connection, string? sql, CancellationToken cancellationToken)
    {
        if (string.IsNullOrEmpty(sql))
        {
            return true;
        }

        DbCommand command = connection.CreateCommand();
        await using (command.ConfigureAwait(false))
        {
            command.CommandText = sql;
            await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }

        return connection.State == ConnectionState.Open;
    }
}
