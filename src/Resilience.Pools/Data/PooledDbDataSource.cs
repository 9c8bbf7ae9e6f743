using System.Data.Common;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Resilience.Pools;

/// <summary>
/// A data source over any ADO.NET provider whose connections live in a <see cref="ResourcePool{T}"/>: bounded, with deadlines, leak
/// reports, the half-open circuit and metrics of this package. The provider's own pooling must be switched off in the connection string.
/// </summary>
/// <remarks>
/// Thread-safe. Connections, commands, transactions and readers are thin wrappers that reach the provider's objects only while the lease
/// lasts, and whose waits end with their tokens whatever the provider does; parameters are the provider's own. Ambient transactions (<c>TransactionScope</c>) are not
/// supported; use <see cref="PooledDbConnection.Inner"/> for what only the provider offers.
/// </remarks>
public sealed class PooledDbDataSource : DbDataSource
{
    private readonly bool _ownsPool;
    private readonly DbConnection _prototype;
    private readonly DbProviderFactory? _provider;

    /// <summary>Makes a data source outside of a container, with a pool of its own.</summary>
    /// <param name="name">The pool's name.</param>
    /// <param name="createConnection">Makes a closed connection of the provider, its own pooling off. Its connection string must not change.</param>
    /// <param name="options">The pool's settings; defaults when <see langword="null"/>.</param>
    /// <param name="databaseOptions">What to know about the database; defaults when <see langword="null"/>.</param>
    /// <param name="timeProvider">The clock; the system's when <see langword="null"/>.</param>
    /// <param name="logger">Where leaks and outages are told; nowhere when <see langword="null"/>.</param>
    public PooledDbDataSource(string name, Func<DbConnection> createConnection, PoolOptions? options = null, PooledDbOptions? databaseOptions = null, TimeProvider? timeProvider = null, ILogger? logger = null)
        : this(new ResourcePool<DbConnection>(name, CreateFactory(createConnection, databaseOptions), options, timeProvider, logger), createConnection, ownsPool: true)
    {
    }

    internal PooledDbDataSource(ResourcePool<DbConnection> pool, Func<DbConnection> createConnection, bool ownsPool)
    {
        Pool = pool;
        _ownsPool = ownsPool;

        // Never opened: it knows what the provider's commands look like before there is a connection.
        _prototype = createConnection();
        _provider = DbProviderFactories.GetFactory(_prototype);
        ConnectionString = Mask(_prototype.ConnectionString);
    }

    /// <summary>The pool, for its snapshot and for clearing it.</summary>
    public ResourcePool<DbConnection> Pool { get; }

    /// <summary>The connection string with what looks like a secret masked.</summary>
    public override string ConnectionString { get; }

    internal string Database => _prototype.Database;

    internal string Server => _prototype.DataSource;

    /// <summary>Makes a closed connection; opening it leases one from the pool, closing it gives that back.</summary>
    public new PooledDbConnection CreateConnection() => new(this);

    /// <summary>Leases a connection.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="callerFile">Filled in by the compiler: who holds it, for reports.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    /// <exception cref="PoolException">None was to be had; see <see cref="ResourcePool{T}.AcquireAsync(CancellationToken, string, int)"/>.</exception>
    public ValueTask<PooledDbConnection> OpenConnectionAsync(CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        // Not async itself: what an async method leaves in the flow, the note of a lease that nested acquires are told by, is lost to its caller.
        var connection = new PooledDbConnection(this);
        ValueTask opening = connection.OpenAsync(callerFile, callerLine, cancellationToken);
        return opening.IsCompletedSuccessfully ? new ValueTask<PooledDbConnection>(connection) : OpenedAsync(connection, opening);
    }

    internal static DbConnectionFactory CreateFactory(Func<DbConnection> createConnection, PooledDbOptions? options)
    {
        ArgumentNullException.ThrowIfNull(createConnection);
        return new DbConnectionFactory(createConnection, options ?? new PooledDbOptions());
    }

    internal bool CanCreateBatch => _provider?.CanCreateBatch ?? false;

    internal DbBatch? CreateInnerBatch() => CanCreateBatch ? _provider!.CreateBatch() : null;

    internal DbCommand CreateInnerCommand()
    {
        if (_provider?.CreateCommand() is { } command)
        {
            return command;
        }

        command = _prototype.CreateCommand();
        command.Connection = null;
        return command;
    }

    internal static string Mask(string connectionString)
    {
        var parts = new DbConnectionStringBuilder();
        try
        {
            parts.ConnectionString = connectionString;
        }
        catch (ArgumentException)
        {
            return "***";
        }

        foreach (string key in parts.Keys.Cast<string>().ToArray())
        {
            if (key.Contains("pass", StringComparison.OrdinalIgnoreCase) || key.Contains("pwd", StringComparison.OrdinalIgnoreCase) || key.Contains("secret", StringComparison.OrdinalIgnoreCase) || key.Contains("token", StringComparison.OrdinalIgnoreCase) || key.Contains("key", StringComparison.OrdinalIgnoreCase))
            {
                parts[key] = "***";
            }
        }

        return parts.ConnectionString;
    }

    /// <inheritdoc/>
    protected override DbConnection CreateDbConnection() => new PooledDbConnection(this);

    /// <inheritdoc/>
    protected override ValueTask<DbConnection> OpenDbConnectionAsync(CancellationToken cancellationToken = default)
    {
        ValueTask<PooledDbConnection> opening = OpenConnectionAsync(cancellationToken, "", 0);
        return opening.IsCompletedSuccessfully ? new ValueTask<DbConnection>(Opened(opening)) : UpcastAsync(opening);
    }

    private static async ValueTask<PooledDbConnection> OpenedAsync(PooledDbConnection connection, ValueTask opening)
    {
        await opening.ConfigureAwait(false);
        return connection;
    }

#pragma warning disable VSTHRD002 // It has completed.
    private static PooledDbConnection Opened(in ValueTask<PooledDbConnection> opened) => opened.Result;
#pragma warning restore VSTHRD002

    private static async ValueTask<DbConnection> UpcastAsync(ValueTask<PooledDbConnection> opening) => await opening.ConfigureAwait(false);

    /// <inheritdoc/>
    protected override async ValueTask DisposeAsyncCore()
    {
        if (_ownsPool)
        {
            await Pool.DisposeAsync().ConfigureAwait(false);
        }

        await _prototype.DisposeAsync().ConfigureAwait(false);
        await base.DisposeAsyncCore().ConfigureAwait(false);
    }

    /// <summary>Begins to drain the pool if the source owns it, and does not wait for it: what is idle is closed in the background.</summary>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            if (_ownsPool)
            {
                _ = Pool.DrainAsync();
            }

            _prototype.Dispose();
        }

        base.Dispose(disposing);
    }
}
