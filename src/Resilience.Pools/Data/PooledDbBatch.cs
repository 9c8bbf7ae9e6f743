using System.Data;
using System.Data.Common;

namespace Resilience.Pools;

/// <summary>A batch of a pooled connection: the provider's own, bound to the leased connection for each execution, as <see cref="PooledDbCommand"/> is.</summary>
internal sealed class PooledDbBatch : DbBatch
{
    private readonly DbBatch _inner;
    private readonly Action _cancel;
    private PooledDbConnection? _connection;
    private DbTransaction? _transaction;

    public PooledDbBatch(PooledDbConnection connection, DbBatch inner)
    {
        _connection = connection;
        _inner = inner;
        _cancel = inner.Cancel;
    }

    public override int Timeout
    {
        get => _inner.Timeout;
        set => _inner.Timeout = value;
    }

    protected override DbBatchCommandCollection DbBatchCommands => _inner.BatchCommands;

    protected override DbConnection? DbConnection
    {
        get => _connection;
        set => _connection = value is null or PooledDbConnection ? (PooledDbConnection?)value : throw new ArgumentException("A pooled batch runs on a pooled connection.", nameof(value));
    }

    protected override DbTransaction? DbTransaction
    {
        get => _transaction;
        set => _transaction = value;
    }

    /// <summary>Asks the server to cancel what runs; nothing after the close, as with a command.</summary>
    public override void Cancel()
    {
        if (_connection?.Holds(_inner.Connection) == true)
        {
            _inner.Cancel();
        }
    }

    public override void Prepare() => Noted(static batch =>
    {
        batch.Prepare();
        return true;
    });

    public override Task PrepareAsync(CancellationToken cancellationToken = default) => NotedAsync(
        static async batch =>
        {
            await batch.PrepareAsync(CancellationToken.None).ConfigureAwait(false);
            return true;
        },
        cancellationToken);

    public override int ExecuteNonQuery() => Noted(static batch => batch.ExecuteNonQuery());

    public override Task<int> ExecuteNonQueryAsync(CancellationToken cancellationToken = default) =>
        NotedAsync(static batch => batch.ExecuteNonQueryAsync(CancellationToken.None), cancellationToken);

    public override object? ExecuteScalar() => Noted(static batch => batch.ExecuteScalar());

    public override Task<object?> ExecuteScalarAsync(CancellationToken cancellationToken = default) =>
        NotedAsync(static batch => batch.ExecuteScalarAsync(CancellationToken.None), cancellationToken);

    public override void Dispose()
    {
        _inner.Dispose();
        base.Dispose();
    }

    protected override DbBatchCommand CreateDbBatchCommand() => _inner.CreateBatchCommand();

    protected override DbDataReader ExecuteDbDataReader(CommandBehavior behavior) =>
        Track(Noted(batch => batch.ExecuteReader(behavior & ~CommandBehavior.CloseConnection)), behavior);

    protected override async Task<DbDataReader> ExecuteDbDataReaderAsync(CommandBehavior behavior, CancellationToken cancellationToken) =>
        Track(await NotedAsync(batch => batch.ExecuteReaderAsync(behavior & ~CommandBehavior.CloseConnection, CancellationToken.None), cancellationToken).ConfigureAwait(false), behavior);

    private PooledDbDataReader Track(DbDataReader reader, CommandBehavior behavior)
    {
        _connection!.Reads(reader);
        return new PooledDbDataReader(reader, _connection, _cancel, behavior.HasFlag(CommandBehavior.CloseConnection));
    }

    private TResult Noted<TResult>(Func<DbBatch, TResult> execute)
    {
        try
        {
            return execute(Bind());
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    private async Task<TResult> NotedAsync<TResult>(Func<DbBatch, Task<TResult>> execute, CancellationToken cancellationToken)
    {
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            return await BoundedWork.WaitAsync(execute(Bind()), _cancel, _connection!, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    private DbBatch Bind()
    {
        PooledDbConnection connection = _connection ?? throw new InvalidOperationException("The batch has no connection.");
        _inner.Connection = connection.Inner;
        _inner.Transaction = PooledDbConnection.InnerTransaction(_transaction);
        return _inner;
    }
}
