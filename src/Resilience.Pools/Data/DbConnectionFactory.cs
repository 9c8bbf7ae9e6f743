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

    /// <summary>
    /// Closes a connection. A provider may talk to the server while it closes, and on a dead network that takes as long as TCP does: then
    /// the place is given up when the time is up, though the provider still holds a socket to nowhere. On a thread of its own, because a
    /// provider may block where it waits for a command that has not ended.
    /// </summary>
    public async ValueTask DestroyAsync(DbConnection resource, CancellationToken cancellationToken)
    {
        Task closing = Task.Factory.StartNew(static connection => ((DbConnection)connection!).DisposeAsync().AsTask(), resource, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
        AbandonedTask.Observe(closing);
        await closing.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

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

            // Without the token: some providers block a pool thread while they ask a silent server to cancel. The wait itself is bounded.
            Task work = command.ExecuteNonQueryAsync(CancellationToken.None);
            AbandonedTask.Observe(work);
            await work.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        return connection.State == ConnectionState.Open;
    }
}
