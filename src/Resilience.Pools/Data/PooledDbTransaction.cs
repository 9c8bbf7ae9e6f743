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

    public override void Commit()
    {
        Noted(inner.Commit);
        IsCompleted = true;
    }

    /// <summary>A commit whose wait was cancelled may have happened or not, as with any provider; its connection is not used again.</summary>
    public override async Task CommitAsync(CancellationToken cancellationToken = default)
    {
        await NotedAsync(inner.CommitAsync, cancellationToken).ConfigureAwait(false);
        IsCompleted = true;
    }

    public override void Rollback()
    {
        Noted(inner.Rollback);
        IsCompleted = true;
    }

    public override async Task RollbackAsync(CancellationToken cancellationToken = default)
    {
        await NotedAsync(inner.RollbackAsync, cancellationToken).ConfigureAwait(false);
        IsCompleted = true;
    }

    public override void Save(string savepointName) => Noted(() => inner.Save(savepointName));

    public override Task SaveAsync(string savepointName, CancellationToken cancellationToken = default) => NotedAsync(token => inner.SaveAsync(savepointName, token), cancellationToken);

    public override void Rollback(string savepointName) => Noted(() => inner.Rollback(savepointName));

    public override Task RollbackAsync(string savepointName, CancellationToken cancellationToken = default) => NotedAsync(token => inner.RollbackAsync(savepointName, token), cancellationToken);

    public override void Release(string savepointName) => Noted(() => inner.Release(savepointName));

    public override Task ReleaseAsync(string savepointName, CancellationToken cancellationToken = default) => NotedAsync(token => inner.ReleaseAsync(savepointName, token), cancellationToken);

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

    private void Noted(Action step)
    {
        try
        {
            step();
        }
        catch (Exception exception)
        {
            connection.Failed(exception);
            throw;
        }
    }

    private async Task NotedAsync(Func<CancellationToken, Task> step, CancellationToken cancellationToken)
    {
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            await BoundedWork.WaitAsync(step(CancellationToken.None), connection, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            connection.Failed(exception);
            throw;
        }
    }
}
