using System.Collections;
using System.Data;
using System.Data.Common;

namespace Resilience.Pools.Tests.Data;

/// <summary>What the wrappers do when it is the closing, or a step amid a transaction, that fails.</summary>
public sealed class PooledDbFailureTests
{
    private readonly FakeDb _db = new();

    /// <summary>Whoever opens a reader with <see cref="CommandBehavior.CloseConnection"/> closes nothing but the reader.</summary>
    [Theory]
    [InlineData("Close")]
    [InlineData("CloseAsync")]
    [InlineData("Dispose")]
    [InlineData("DisposeAsync")]
    public async Task Reader_ClosesItsConnectionAndCannotBeClosed_TheLeaseEndsAllTheSame(string how)
    {
        await using var source = new PooledDbDataSource("fake", _db.Create, new PoolOptions { MaxSize = 1 });
        _db.OnRead = static () => new UnclosableReader();
        PooledDbConnection connection = await source.OpenConnectionAsync();
        DbDataReader reader = await connection.CreateCommand().ExecuteReaderAsync(CommandBehavior.CloseConnection);
        await Assert.ThrowsAsync<IOException>(async () =>
        {
            switch (how)
            {
                case "Close":
                    reader.Close();
                    break;
                case "CloseAsync":
                    await reader.CloseAsync();
                    break;
                case "Dispose":
                    reader.Dispose();
                    break;
                default:
                    await reader.DisposeAsync();
                    break;
            }
        });
        Assert.Equal(ConnectionState.Closed, connection.State);
        Assert.Equal(0, source.Pool.Snapshot().Leased);

        // Its reader may still be open at the server's end.
        await Eventually.TrueAsync(() => source.Pool.Snapshot().Destroyed == 1, "the end of the connection");
    }

    /// <summary>
    /// What was begun in the moment in which its caller gave up is handed out, or the connection is used no more. A transaction that nobody
    /// knows of would stay open under the connection's next user.
    /// </summary>
    [Fact]
    public async Task Work_SucceedsInTheMomentInWhichItIsCancelled_IsNotForgotten()
    {
        await using var source = new PooledDbDataSource("fake", _db.Create, new PoolOptions { MaxSize = 1 });
        for (int round = 0; round < 200; round++)
        {
            await using PooledDbConnection connection = await source.OpenConnectionAsync();
            var work = new TaskCompletionSource<int>();
            using var mine = new CancellationTokenSource();
            Task<int> waiting = BoundedWork.WaitAsync(work.Task, cancel: null, connection, mine.Token);

            // On a thread on which no continuation runs: the wait is cancelled, and has not gone on when the work ends.
            var thread = new Thread(() =>
            {
                SynchronizationContext.SetSynchronizationContext(new Elsewhere());
                mine.Cancel();
                work.SetResult(round);
            });
            thread.UnsafeStart();
            thread.Join();
            try
            {
                Assert.Equal(round, await waiting.WaitAsync(TimeSpan.FromMinutes(1)));
            }
            catch (OperationCanceledException)
            {
                Assert.True(connection.IsGivenUp); // the thread was kept waiting
            }
        }
    }

    [Fact]
    public async Task Save_NetworkIsSilent_EndsWithTheToken()
    {
        await using var source = new PooledDbDataSource("fake", _db.Create, new PoolOptions { MaxSize = 1 });
        var never = new TaskCompletionSource();
        _db.OnSave = () => never.Task;
        await using (PooledDbConnection connection = await source.OpenConnectionAsync())
        await using (DbTransaction transaction = await connection.BeginTransactionAsync())
        {
            using var mine = new CancellationTokenSource();
            Task save = transaction.SaveAsync("a", mine.Token);
            await mine.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => save.WaitAsync(TimeSpan.FromSeconds(30)));
        }

        Assert.Equal(0, _db.Rollbacks);
        await Eventually.TrueAsync(() => source.Pool.Snapshot().Destroyed == 1, "the end of the connection");
        never.SetResult();
    }

    [Fact]
    public async Task Save_ConnectionBreaks_TheIdleOnesAreSuspected()
    {
        await using var source = new PooledDbDataSource("fake", _db.Create, new PoolOptions { MaxSize = 2 });
        PooledDbConnection idle = await source.OpenConnectionAsync();
        await using PooledDbConnection connection = await source.OpenConnectionAsync();
        await idle.CloseAsync();
        await using DbTransaction transaction = await connection.BeginTransactionAsync();
        _db.OnSave = () =>
        {
            ((FakeDb.Connection)connection.Inner).Break();
            throw new IOException("reset by peer");
        };
        await Assert.ThrowsAsync<IOException>(() => transaction.SaveAsync("a"));
        Assert.False(source.Pool.TryAcquire(out _));
    }

    private sealed class UnclosableReader : DbDataReader
    {
        public override int Depth => 0;

        public override int FieldCount => 0;

        public override bool HasRows => false;

        public override bool IsClosed => false;

        public override int RecordsAffected => 0;

        public override object this[int ordinal] => throw new NotSupportedException();

        public override object this[string name] => throw new NotSupportedException();

        public override void Close() => throw new IOException("reset by peer");

        public override bool GetBoolean(int ordinal) => throw new NotSupportedException();

        public override byte GetByte(int ordinal) => throw new NotSupportedException();

        public override long GetBytes(int ordinal, long dataOffset, byte[]? buffer, int bufferOffset, int length) => throw new NotSupportedException();

        public override char GetChar(int ordinal) => throw new NotSupportedException();

        public override long GetChars(int ordinal, long dataOffset, char[]? buffer, int bufferOffset, int length) => throw new NotSupportedException();

        public override string GetDataTypeName(int ordinal) => throw new NotSupportedException();

        public override DateTime GetDateTime(int ordinal) => throw new NotSupportedException();

        public override decimal GetDecimal(int ordinal) => throw new NotSupportedException();

        public override double GetDouble(int ordinal) => throw new NotSupportedException();

        public override IEnumerator GetEnumerator() => throw new NotSupportedException();

        public override Type GetFieldType(int ordinal) => throw new NotSupportedException();

        public override float GetFloat(int ordinal) => throw new NotSupportedException();

        public override Guid GetGuid(int ordinal) => throw new NotSupportedException();

        public override short GetInt16(int ordinal) => throw new NotSupportedException();

        public override int GetInt32(int ordinal) => throw new NotSupportedException();

        public override long GetInt64(int ordinal) => throw new NotSupportedException();

        public override string GetName(int ordinal) => throw new NotSupportedException();

        public override int GetOrdinal(string name) => throw new NotSupportedException();

        public override string GetString(int ordinal) => throw new NotSupportedException();

        public override object GetValue(int ordinal) => throw new NotSupportedException();

        public override int GetValues(object[] values) => throw new NotSupportedException();

        public override bool IsDBNull(int ordinal) => throw new NotSupportedException();

        public override bool NextResult() => false;

        public override bool Read() => false;
    }

    /// <summary>A context of its own, so that no continuation is run in place.</summary>
    private sealed class Elsewhere : SynchronizationContext;
}
