using System.Collections;
using System.Collections.ObjectModel;
using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;

namespace Resilience.Pools;

/// <summary>
/// A provider's reader whose waits end with their tokens, as those of commands do, and which asks nothing more of a connection that was
/// given up. With <see cref="CommandBehavior.CloseConnection"/> it closes the pooled connection when it is closed.
/// </summary>
[SuppressMessage("Naming", "CA1710:Identifiers should have correct suffix", Justification = "A reader, as its base class is.")]
internal sealed class PooledDbDataReader(DbDataReader inner, PooledDbConnection connection, Action cancel, bool closesConnection) : DbDataReader, IDbColumnSchemaGenerator
{
    public override int Depth => inner.Depth;

    public override int FieldCount => inner.FieldCount;

    public override int VisibleFieldCount => inner.VisibleFieldCount;

    public override bool HasRows => inner.HasRows;

    public override bool IsClosed => inner.IsClosed;

    public override int RecordsAffected => inner.RecordsAffected;

    public override object this[int ordinal] => inner[ordinal];

    public override object this[string name] => inner[name];

    public override void Close()
    {
        try
        {
            // Closing reads what is left of the results: of a connection that was given up, for as long as the network is silent.
            if (!connection.IsGivenUp)
            {
                inner.Close();
            }
        }
        finally
        {
            CloseConnection();
        }
    }

    public override async Task CloseAsync()
    {
        try
        {
            if (!connection.IsGivenUp)
            {
                await inner.CloseAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            CloseConnection();
        }
    }

    public override async ValueTask DisposeAsync()
    {
        try
        {
            if (!connection.IsGivenUp)
            {
                await inner.DisposeAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            CloseConnection();
        }

        await base.DisposeAsync().ConfigureAwait(false);
    }

    public override bool GetBoolean(int ordinal) => inner.GetBoolean(ordinal);

    public override byte GetByte(int ordinal) => inner.GetByte(ordinal);

    public override long GetBytes(int ordinal, long dataOffset, byte[]? buffer, int bufferOffset, int length) => inner.GetBytes(ordinal, dataOffset, buffer, bufferOffset, length);

    public override char GetChar(int ordinal) => inner.GetChar(ordinal);

    public override long GetChars(int ordinal, long dataOffset, char[]? buffer, int bufferOffset, int length) => inner.GetChars(ordinal, dataOffset, buffer, bufferOffset, length);

    public override string GetDataTypeName(int ordinal) => inner.GetDataTypeName(ordinal);

    public override DateTime GetDateTime(int ordinal) => inner.GetDateTime(ordinal);

    public override decimal GetDecimal(int ordinal) => inner.GetDecimal(ordinal);

    public override double GetDouble(int ordinal) => inner.GetDouble(ordinal);

    public override IEnumerator GetEnumerator() => new DbEnumerator(this, closeReader: true);

    [return: DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicFields | DynamicallyAccessedMemberTypes.PublicProperties)]
    public override Type GetFieldType(int ordinal) => inner.GetFieldType(ordinal);

    public override T GetFieldValue<T>(int ordinal) => inner.GetFieldValue<T>(ordinal);

    public override Task<T> GetFieldValueAsync<T>(int ordinal, CancellationToken cancellationToken) => BoundAsync(inner.GetFieldValueAsync<T>(ordinal, CancellationToken.None), cancellationToken);

    public override float GetFloat(int ordinal) => inner.GetFloat(ordinal);

    public override Guid GetGuid(int ordinal) => inner.GetGuid(ordinal);

    public override short GetInt16(int ordinal) => inner.GetInt16(ordinal);

    public override int GetInt32(int ordinal) => inner.GetInt32(ordinal);

    public override long GetInt64(int ordinal) => inner.GetInt64(ordinal);

    public override string GetName(int ordinal) => inner.GetName(ordinal);

    public override int GetOrdinal(string name) => inner.GetOrdinal(name);

    public override DataTable? GetSchemaTable() => inner.GetSchemaTable();

    public override Stream GetStream(int ordinal) => inner.GetStream(ordinal);

    public override string GetString(int ordinal) => inner.GetString(ordinal);

    public override TextReader GetTextReader(int ordinal) => inner.GetTextReader(ordinal);

    public override object GetValue(int ordinal) => inner.GetValue(ordinal);

    public override int GetValues(object[] values) => inner.GetValues(values);

    public override bool IsDBNull(int ordinal) => inner.IsDBNull(ordinal);

    public override Task<bool> IsDBNullAsync(int ordinal, CancellationToken cancellationToken) => BoundAsync(inner.IsDBNullAsync(ordinal, CancellationToken.None), cancellationToken);

    public override bool NextResult() => Noted(static reader => reader.NextResult());

    public override Task<bool> NextResultAsync(CancellationToken cancellationToken) => BoundAsync(inner.NextResultAsync(CancellationToken.None), cancellationToken);

    public override bool Read() => Noted(static reader => reader.Read());

    public override Task<bool> ReadAsync(CancellationToken cancellationToken) => BoundAsync(inner.ReadAsync(CancellationToken.None), cancellationToken);

    public ReadOnlyCollection<DbColumn> GetColumnSchema() => inner.GetColumnSchema();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            try
            {
                if (!connection.IsGivenUp)
                {
                    inner.Dispose();
                }
            }
            finally
            {
                CloseConnection();
            }
        }

        base.Dispose(disposing);
    }

    /// <summary>Even when the reader could not be closed: whoever asked for this closes nothing but the reader.</summary>
    private void CloseConnection()
    {
        if (closesConnection)
        {
            connection.Close();
        }
    }

    /// <summary>What is in the buffer already comes as it came from the provider; only a wait has to be bounded.</summary>
    private Task<TResult> BoundAsync<TResult>(Task<TResult> work, CancellationToken cancellationToken) =>
        work.IsCompletedSuccessfully ? work : FinishAsync(work, cancellationToken);

    private async Task<TResult> FinishAsync<TResult>(Task<TResult> work, CancellationToken cancellationToken)
    {
        try
        {
            return await BoundedWork.WaitAsync(work, cancel, connection, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            connection.Failed(exception);
            throw;
        }
    }

    private bool Noted(Func<DbDataReader, bool> step)
    {
        try
        {
            return step(inner);
        }
        catch (Exception exception)
        {
            connection.Failed(exception);
            throw;
        }
    }
}
