using System.Data;
using System.Data.Common;

namespace Resilience.Pools;

/// <summary>A transaction of a pooled connection; everything goes to the provider's own.</summary>
internal sealed class PooledDbTransaction(PooledDbConnection connection, DbTransaction inner) : DbTransaction
{
    public DbTransaction Inner => inner;

    /// <summary>Whether it was committed, rolled back or disposed; asking a disposed transaction of a provider may throw.</summary>
    public bool IsCompleted { get; private set; }

    public override IsolationLevel IsolationLevel => inner.IsolationLevel;

    public override bool SupportsSavepoints => inner.SupportsSavepoints;

    protected override DbConnection? DbConnection => IsCompleted ? null : connection;

    public override void Commit() => End(static transaction => transaction.Commit());

    public override Task CommitAsync(CancellationToken cancellationToken = default) => EndAsync(inner.CommitAsync, cancellationToken);

    public override void Rollback() => End(static transaction => transaction.Rollback());

    public override Task RollbackAsync(CancellationToken cancellationToken = default) => EndAsync(inner.RollbackAsync, cancellationToken);

    public override void Save(string savepointName) => inner.Save(savepointName);

    public override Task SaveAsync(string savepointName, CancellationToken cancellationToken = default) => inner.SaveAsync(savepointName, cancellationToken);

    public override void Rollback(string savepointName) => inner.Rollback(savepointName);

    public override Task RollbackAsync(string savepointName, CancellationToken cancellationToken = default) => inner.RollbackAsync(savepointName, cancellationToken);

    public override void Release(string savepointName) => inner.Release(savepointName);

    public override Task ReleaseAsync(string savepointName, CancellationToken cancellationToken = default) => inner.ReleaseAsync(savepointName, cancellationToken);

    public override async ValueTask DisposeAsync()
    {
        if (!connection.IsGivenUp)
        {
            await inner.DisposeAsync().ConfigureAwait(false);
        }

        IsCompleted = true;
        await base.DisposeAsync().ConfigureAwait(false);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            // A rollback would wait for what still runs; the server does it when the connection ends.
            if (!connection.IsGivenUp)
            {
                inner.Dispose();
            }

            IsCompleted = true;
        }

        base.Dispose(disposing);
    }

    private void End(Action<DbTransaction> end)
    {
        try
        {
            end(inner);
            IsCompleted = true;
        }
        catch (Exception exception)
        {
            connection.Failed(exception);
            throw;
        }
    }

    /// <summary>A commit whose wait was cancelled may have happened or not, as with any provider; its connection is not used again.</summary>
    private async Task EndAsync(Func<CancellationToken, Task> end, CancellationToken cancellationToken)
    {
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            await BoundedWork.WaitAsync(end(CancellationToken.None), connection, cancellationToken).ConfigureAwait(false);
            IsCompleted = true;
        }
        catch (Exception exception)
        {
            connection.Failed(exception);
            throw;
        }
    }
}
