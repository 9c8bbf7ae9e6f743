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
    /// <summary>How long a cancelled command may take to end before its connection is given up.</summary>
    private static readonly TimeSpan CancelGrace = TimeSpan.FromMilliseconds(100);

    private readonly DbCommand _inner;
    private PooledDbConnection? _connection;
    private DbTransaction? _transaction;
    private bool _hadTransaction;

    public PooledDbCommand(PooledDbConnection connection)
    {
        _connection = connection;
        _inner = connection.CreateInnerCommand();
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

    public override void Cancel() => _inner.Cancel();

    public override void Prepare() => Bind().Prepare();

    public override Task PrepareAsync(CancellationToken cancellationToken = default) => Bind(cancellationToken).PrepareAsync(cancellationToken);

    public override int ExecuteNonQuery()
    {
        try
        {
            return Bind().ExecuteNonQuery();
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    public override async Task<int> ExecuteNonQueryAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await BoundAsync(Bind(cancellationToken).ExecuteNonQueryAsync(CancellationToken.None), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    public override object? ExecuteScalar()
    {
        try
        {
            return Bind().ExecuteScalar();
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

    public override async Task<object?> ExecuteScalarAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await BoundAsync(Bind(cancellationToken).ExecuteScalarAsync(CancellationToken.None), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            _connection?.Failed(exception);
            throw;
        }
    }

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

    /// <summary>
    /// Ends the wait for a command when the token is cancelled, whatever the provider does: on a silent network a provider that asks the
    /// server to cancel waits for the answer, and blocks a pool thread meanwhile. So the provider does not see the token. It is asked to
    /// cancel on a thread of its own, and if the command has not ended a moment later the connection is given up.
    /// </summary>
    private async Task<TResult> BoundAsync<TResult>(Task<TResult> work, CancellationToken cancellationToken)
    {
        if (work.IsCompleted || !cancellationToken.CanBeCanceled)
        {
            return await work.ConfigureAwait(false);
        }

        try
        {
            return await work.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested && !work.IsCompletedSuccessfully)
        {
            if (!work.IsCompleted)
            {
                _ = Task.Factory.StartNew(static command => CancelQuietly((DbCommand)command!), _inner, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            }

            // A driver that is being cancelled runs on the machine's clock, whatever clock the pool has.
            await Task.WhenAny(work, Task.Delay(CancelGrace, TimeProvider.System, CancellationToken.None)).ConfigureAwait(false);
            if (work.IsCompletedSuccessfully)
            {
                return await work.ConfigureAwait(false);
            }

            if (!work.IsCompleted)
            {
                _connection?.Invalidate();
            }

            // Observed, or the failure of a command that nobody waits for any more would surface as unobserved.
            _ = work.ContinueWith(static ended => _ = ended.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            throw;
        }
    }

    private static void CancelQuietly(DbCommand command)
    {
        try
        {
            command.Cancel();
        }
        catch (Exception)
        {
            // It is a courtesy to the server; the caller has been answered already.
        }
    }

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

    private DbDataReader Track(DbDataReader reader, CommandBehavior behavior)
    {
        _connection!.Reads(reader);

        // The provider would close its own connection, for good; what is meant is the lease.
        return behavior.HasFlag(CommandBehavior.CloseConnection) ? new ClosingDbDataReader(reader, _connection) : reader;
    }
}
