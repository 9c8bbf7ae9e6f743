using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using System.Transactions;
using IsolationLevel = System.Data.IsolationLevel;

namespace Resilience.Pools;

/// <summary>
/// A connection of a <see cref="PooledDbDataSource"/>: open, it holds a lease; closed, it holds nothing. What it made stops to work when
/// it is closed. Like every connection it is not thread-safe.
/// </summary>
public sealed class PooledDbConnection : DbConnection
{
    private readonly PooledDbDataSource _source;
    private PoolLease<DbConnection> _lease;
    private DbDataReader? _reader;
    private PooledDbTransaction? _transaction;
    private StateChangeEventHandler? _stateChange;
    private bool _isOpen;

    internal PooledDbConnection(PooledDbDataSource source) => _source = source;

    /// <summary>The provider's connection, for what only the provider offers. Do not keep it beyond the close.</summary>
    /// <exception cref="InvalidOperationException">The connection is not open.</exception>
    /// <exception cref="PoolLeaseExpiredException">It was reclaimed because it was held too long.</exception>
    public DbConnection Inner => _isOpen ? _lease.Resource : throw new InvalidOperationException($"The connection of pool '{_source.Pool.Name}' is not open. Open it first.");

    /// <summary>The masked connection string; it cannot be changed.</summary>
    /// <exception cref="NotSupportedException">On setting.</exception>
    [AllowNull]
    public override string ConnectionString
    {
        get => _source.ConnectionString;
        set => throw new NotSupportedException("A pooled connection's connection string is the data source's. Make another data source.");
    }

    /// <summary>Raised when a connection was leased and when it was given back; a failure in between is seen in <see cref="State"/>.</summary>
    public override event StateChangeEventHandler? StateChange
    {
        add => _stateChange += value;
        remove => _stateChange -= value;
    }

    /// <summary>The pool's <see cref="PoolOptions.AcquireTimeout"/> in whole seconds, at least 1; 0 when it is infinite.</summary>
    public override int ConnectionTimeout =>
        _source.Pool.Options.AcquireTimeout == Timeout.InfiniteTimeSpan ? 0 : Math.Max(1, (int)Math.Ceiling(_source.Pool.Options.AcquireTimeout.TotalSeconds));

    /// <inheritdoc/>
    public override string Database => _isOpen ? Inner.Database : _source.Database;

    /// <inheritdoc/>
    public override string DataSource => _source.Server;

    /// <inheritdoc/>
    public override string ServerVersion => Inner.ServerVersion;

    /// <inheritdoc/>
    public override ConnectionState State => !_isOpen ? ConnectionState.Closed : _lease.ResourceOrNull?.State ?? ConnectionState.Broken;

    /// <summary>Whether the provider has batches.</summary>
    public override bool CanCreateBatch => _source.CanCreateBatch;

    /// <inheritdoc/>
    protected override DbProviderFactory? DbProviderFactory => null;

    /// <summary>Says that the connection must not be used by anybody else: it is closed for good when it comes back.</summary>
    public void Invalidate() => _lease.Invalidate();

    /// <summary>Whether something still runs on the connection that nobody waits for: nothing may be asked of it any more.</summary>
    internal bool IsGivenUp { get; private set; }

    /// <summary>Leaves the connection to what runs on it; it is closed for good when it comes back.</summary>
    internal void GiveUp()
    {
        IsGivenUp = true;
        Invalidate();
    }

    /// <summary>Leases a connection.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="InvalidOperationException">It is open already.</exception>
    /// <exception cref="NotSupportedException">An ambient transaction is current: the pool would not enlist in it.</exception>
    /// <exception cref="PoolException">None was to be had; see <see cref="ResourcePool{T}.AcquireAsync(CancellationToken, string, int)"/>.</exception>
    public override Task OpenAsync(CancellationToken cancellationToken) => OpenAsync("", 0, cancellationToken).AsTask();

    /// <summary>Not async itself, so that the pool's note of the lease stays in the caller's flow; see <see cref="NestedAcquire"/>.</summary>
    internal ValueTask OpenAsync(string file, int line, CancellationToken cancellationToken)
    {
        if (WhyNotOpen() is { } refusal)
        {
            return ValueTask.FromException(refusal);
        }

        ValueTask<PoolLease<DbConnection>> acquiring = _source.Pool.AcquireAsync(cancellationToken, file, line);
        if (!acquiring.IsCompletedSuccessfully)
        {
            return FinishOpenAsync(acquiring);
        }

        Opened(in acquiring);
        return default;
    }

    private async ValueTask FinishOpenAsync(ValueTask<PoolLease<DbConnection>> acquiring) => Opened(await acquiring.ConfigureAwait(false));

#pragma warning disable VSTHRD002 // It has completed.
    private void Opened(in ValueTask<PoolLease<DbConnection>> acquired) => Opened(acquired.Result);
#pragma warning restore VSTHRD002

    private void Opened(PoolLease<DbConnection> lease)
    {
        _lease = lease;
        _isOpen = true;
        IsGivenUp = false;
        _stateChange?.Invoke(this, new StateChangeEventArgs(ConnectionState.Closed, ConnectionState.Open));
    }

    /// <summary>
    /// The same, for callers that cannot await: it blocks the calling thread while it waits. Where many threads do so the thread pool
    /// starves; prefer <see cref="OpenAsync(CancellationToken)"/>.
    /// </summary>
    public override void Open()
    {
        if (WhyNotOpen() is { } refusal)
        {
            throw refusal;
        }

        if (!_source.Pool.TryAcquire(out PoolLease<DbConnection> lease, "", 0))
        {
#pragma warning disable VSTHRD002 // ADO.NET demands a synchronous form; whoever calls it has chosen to block.
            lease = _source.Pool.AcquireAsync(CancellationToken.None, "", 0).AsTask().GetAwaiter().GetResult();
#pragma warning restore VSTHRD002
        }

        Opened(lease);
    }

    /// <summary>Gives the connection back. One that is broken, or that has a reader or a transaction open, is destroyed instead.</summary>
    public override void Close()
    {
        if (!_isOpen)
        {
            return;
        }

        _isOpen = false;
        if (_reader is { IsClosed: false } || _transaction is { IsCompleted: false } || _lease.ResourceOrNull is { State: not ConnectionState.Open })
        {
            _lease.Invalidate();
        }

        _reader = null;
        _transaction = null;
        _lease.Dispose();
        _lease = default;
        _stateChange?.Invoke(this, new StateChangeEventArgs(ConnectionState.Open, ConnectionState.Closed));
    }

    /// <inheritdoc/>
    public override Task CloseAsync()
    {
        Close();
        return Task.CompletedTask;
    }

    /// <summary>Changes the database of this lease; the connection is destroyed afterwards, for the next user expects the usual one.</summary>
    /// <param name="databaseName">The database.</param>
    public override void ChangeDatabase(string databaseName)
    {
        Inner.ChangeDatabase(databaseName);
        Invalidate();
    }

    /// <inheritdoc/>
    public override DataTable GetSchema() => Inner.GetSchema();

    /// <inheritdoc/>
    public override DataTable GetSchema(string collectionName) => Inner.GetSchema(collectionName);

    /// <inheritdoc/>
    public override DataTable GetSchema(string collectionName, string?[] restrictionValues) => Inner.GetSchema(collectionName, restrictionValues);

    internal static DbTransaction? InnerTransaction(DbTransaction? transaction) => transaction is PooledDbTransaction pooled ? pooled.Inner : transaction;

    internal DbCommand CreateInnerCommand() => _source.CreateInnerCommand();

    internal void Reads(DbDataReader reader) => _reader = reader;

    /// <summary>Whether the connection is open and this is what it leases: after the close the provider's connection may be somebody else's.</summary>
    internal bool Holds(DbConnection? inner) => inner is not null && _isOpen && ReferenceEquals(_lease.ResourceOrNull, inner);

    /// <summary>Takes note of a failure; if it broke the connection, the idle ones are looked at before they are used.</summary>
    internal void Failed(Exception exception)
    {
        if (exception is not (PoolException or InvalidOperationException))
        {
            _lease.Report(exception);
        }
    }

    /// <inheritdoc/>
    protected override DbTransaction BeginDbTransaction(IsolationLevel isolationLevel)
    {
        try
        {
            return _transaction = new PooledDbTransaction(this, Inner.BeginTransaction(isolationLevel));
        }
        catch (Exception exception)
        {
            Failed(exception);
            throw;
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask<DbTransaction> BeginDbTransactionAsync(IsolationLevel isolationLevel, CancellationToken cancellationToken)
    {
        try
        {
            DbTransaction inner = await BoundedWork.WaitAsync(Inner.BeginTransactionAsync(isolationLevel, CancellationToken.None).AsTask(), cancel: null, this, cancellationToken).ConfigureAwait(false);
            return _transaction = new PooledDbTransaction(this, inner);
        }
        catch (Exception exception)
        {
            Failed(exception);
            throw;
        }
    }

    /// <inheritdoc/>
    protected override DbCommand CreateDbCommand() => new PooledDbCommand(this);

    /// <inheritdoc/>
    protected override DbBatch CreateDbBatch() =>
        _source.CreateInnerBatch() is { } inner ? new PooledDbBatch(this, inner) : throw new NotSupportedException($"The provider of pool '{_source.Pool.Name}' has no batches.");

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Close();
        }

        base.Dispose(disposing);
    }

    private Exception? WhyNotOpen() =>
        _isOpen ? new InvalidOperationException($"The connection of pool '{_source.Pool.Name}' is open already.")
        : Transaction.Current is not null ? new NotSupportedException("Pooled connections do not take part in ambient transactions. Begin a transaction on the connection.")
        : null;
}
