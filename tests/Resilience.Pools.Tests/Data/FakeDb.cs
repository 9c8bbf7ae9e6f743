using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;

namespace Resilience.Pools.Tests.Data;

/// <summary>A provider without a server: it does as a test says, and says what was asked of it.</summary>
internal sealed class FakeDb
{
    /// <summary>What a command runs; by default it gives 1 at once.</summary>
    public Func<Task<object?>> OnExecute { get; set; } = static () => Task.FromResult<object?>(1);

    public Func<Task> OnCommit { get; set; } = static () => Task.CompletedTask;

    public Func<Task> OnSave { get; set; } = static () => Task.CompletedTask;

    public Func<DbDataReader> OnRead { get; set; } = static () => throw new NotSupportedException();

    public int Cancels;

    public int Rollbacks;

    public int Opened;

    public DbConnection Create() => new Connection(this);

    internal sealed class Connection(FakeDb db) : DbConnection
    {
        private ConnectionState _state;

        public void Break() => _state = ConnectionState.Broken;

        [AllowNull]
        public override string ConnectionString { get; set; } = "Host=fake;Password=secret";

        public override string Database => "fake";

        public override string DataSource => "fake";

        public override string ServerVersion => "1";

        public override ConnectionState State => _state;

        public override void ChangeDatabase(string databaseName)
        {
        }

        public override void Close() => _state = ConnectionState.Closed;

        public override void Open()
        {
            Interlocked.Increment(ref db.Opened);
            _state = ConnectionState.Open;
        }

        protected override DbTransaction BeginDbTransaction(IsolationLevel isolationLevel) => new Transaction(db, this);

        protected override DbCommand CreateDbCommand() => new Command(db);
    }

    private sealed class Transaction(FakeDb db, DbConnection connection) : DbTransaction
    {
        public override IsolationLevel IsolationLevel => IsolationLevel.ReadCommitted;

        protected override DbConnection DbConnection => connection;

        public override void Commit() => throw new NotSupportedException();

        public override Task CommitAsync(CancellationToken cancellationToken = default) => db.OnCommit();

        public override Task SaveAsync(string savepointName, CancellationToken cancellationToken = default) => db.OnSave();

        public override void Rollback() => Interlocked.Increment(ref db.Rollbacks);

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                Rollback();
            }

            base.Dispose(disposing);
        }
    }

    private sealed class Command(FakeDb db) : DbCommand
    {
        [AllowNull]
        public override string CommandText { get; set; } = "";

        public override int CommandTimeout { get; set; }

        public override CommandType CommandType { get; set; }

        public override bool DesignTimeVisible { get; set; }

        public override UpdateRowSource UpdatedRowSource { get; set; }

        protected override DbConnection? DbConnection { get; set; }

        protected override DbParameterCollection DbParameterCollection => throw new NotSupportedException();

        protected override DbTransaction? DbTransaction { get; set; }

        public override void Cancel() => Interlocked.Increment(ref db.Cancels);

        public override int ExecuteNonQuery() => throw new NotSupportedException();

        public override object? ExecuteScalar() => throw new NotSupportedException();

        public override Task<object?> ExecuteScalarAsync(CancellationToken cancellationToken) => db.OnExecute();

        public override void Prepare()
        {
        }

        protected override DbParameter CreateDbParameter() => throw new NotSupportedException();

        protected override DbDataReader ExecuteDbDataReader(CommandBehavior behavior) => db.OnRead();
    }
}
