using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;

namespace Resilience.Pools;

/// <summary>
/// A command of a pooled connection. It holds a command of the provider, which it binds to the leased connection for each execution; so
/// it can be made before the connection is open, and after the close it reaches nobody else's.
/// </summary>
internal sealed class PooledDbCommand : DbCommand
{
    private readonly DbCommand _inner;
    private readonly Action _cancel;
    private PooledDbConnection? _connection;
    private DbTransaction? _transaction;
    private bool _hadTransaction;

    public PooledDbCommand(PooledDbConnection connection)
    {
        _connection = connection;
        _inner = connection.CreateInnerCommand();
        _cancel = _inner.Cancel;
    }

    [AllowNull]
    public override string CommandText
    {
        get => _inner.CommandText;
        set => _inner.CommandText = value;
    }

    public override int CommandTimeout
    {
        get => _inner.CommandTimeout;
        set => _inner.CommandTimeout = value;
    }

    public override CommandType CommandType
    {
        get => _inner.CommandType;
        set => _inner.CommandType = value;
    }

    public override bool DesignTimeVisible
    {
        get => _inner.DesignTimeVisible;
        set => _inner.DesignTimeVisible = value;
    }

    public override UpdateRowSource UpdatedRowSource
    {
        get => _inner.UpdatedRowSource;
        set => _inner.UpdatedRowSource = value;
    }

    protected override DbConnection? DbConnection
    {
        get => _connection;
        set => _connection = value is null or PooledDbConnection ? (PooledDbConnection?)value : throw new ArgumentException("A pooled command runs on a pooled connection.", nameof(value));
    }

    protected override DbParameterCollection DbParameterCollection => _inner.Parameters;

    protected override DbTransaction? DbTransaction
    {
        get => _transaction;
        set => _transaction = value;
    }

    /// <summary>Asks the server to cancel what runs. After the close nothing is asked: the provider's connection may be somebody else's.</summary>
    public override void Cancel()
    {
        if (_connection?.Holds(_inner.Connection) == true)
        {
            _inner.Cancel();
        }
    }

    public override void Prepare() => Noted(static command =>
    {
        command.Prepare();
        return true;
    });

    public override async Task PrepareAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            await BoundedWork.WaitAsync(Bind(cancellationToken).PrepareAsync(CancellationToken.None), _connection!, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    public override int ExecuteNonQuery() => Noted(static command => command.ExecuteNonQuery());

    public override Task<int> ExecuteNonQueryAsync(CancellationToken cancellationToken) =>
        NotedAsync(static command => command.ExecuteNonQueryAsync(CancellationToken.None), cancellationToken);

    public override object? ExecuteScalar() => Noted(static command => command.ExecuteScalar());

    public override Task<object?> ExecuteScalarAsync(CancellationToken cancellationToken) =>
        NotedAsync(static command => command.ExecuteScalarAsync(CancellationToken.None), cancellationToken);

    public override async ValueTask DisposeAsync()
    {
        await _inner.DisposeAsync().ConfigureAwait(false);
        await base.DisposeAsync().ConfigureAwait(false);
    }

    protected override DbParameter CreateDbParameter() => _inner.CreateParameter();

    protected override DbDataReader ExecuteDbDataReader(CommandBehavior behavior)
    {
        try
        {
            return Track(Bind().ExecuteReader(behavior & ~CommandBehavior.CloseConnection), behavior);
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    protected override async Task<DbDataReader> ExecuteDbDataReaderAsync(CommandBehavior behavior, CancellationToken cancellationToken)
    {
        try
        {
            return Track(await BoundAsync(Bind(cancellationToken).ExecuteReaderAsync(behavior & ~CommandBehavior.CloseConnection, CancellationToken.None), cancellationToken).ConfigureAwait(false), behavior);
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _inner.Dispose();
        }

        base.Dispose(disposing);
    }

    private TResult Noted<TResult>(Func<DbCommand, TResult> execute)
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

    private async Task<TResult> NotedAsync<TResult>(Func<DbCommand, Task<TResult>> execute, CancellationToken cancellationToken)
    {
        try
        {
            return await BoundAsync(execute(Bind(cancellationToken)), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    private Task<TResult> BoundAsync<TResult>(Task<TResult> work, CancellationToken cancellationToken) =>
        BoundedWork.WaitAsync(work, _cancel, _connection!, cancellationToken);

    private DbCommand Bind(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Bind();
    }

    private DbCommand Bind()
    {
        PooledDbConnection connection = _connection ?? throw new InvalidOperationException("The command has no connection.");
        DbConnection inner = connection.Inner;
        if (!ReferenceEquals(_inner.Connection, inner))
        {
            _inner.Connection = inner;
        }

        if (_transaction is not null || _hadTransaction)
        {
            _inner.Transaction = PooledDbConnection.InnerTransaction(_transaction);
            _hadTransaction = _transaction is not null;
        }

        return _inner;
    }

    private PooledDbDataReader Track(DbDataReader reader, CommandBehavior behavior)
    {
        _connection!.Reads(reader);

        // The provider would close its own connection, for good; what is meant is the lease.
        return new PooledDbDataReader(reader, _connection, _cancel, behavior.HasFlag(CommandBehavior.CloseConnection));
    }
}
