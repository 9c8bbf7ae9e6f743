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
        inner.Commit();
        IsCompleted = true;
    }

    public override async Task CommitAsync(CancellationToken cancellationToken = default)
    {
        await inner.CommitAsync(cancellationToken).ConfigureAwait(false);
        IsCompleted = true;
    }

    public override void Rollback()
    {
        inner.Rollback();
        IsCompleted = true;
    }

    public override async Task RollbackAsync(CancellationToken cancellationToken = default)
    {
        await inner.RollbackAsync(cancellationToken).ConfigureAwait(false);
        IsCompleted = true;
    }

    public override void Save(string savepointName) => inner.Save(savepointName);

    public override Task SaveAsync(string savepointName, CancellationToken cancellationToken = default) => inner.SaveAsync(savepointName, cancellationToken);

    public override void Rollback(string savepointName) => inner.Rollback(savepointName);

    public override Task RollbackAsync(string savepointName, CancellationToken cancellationToken = default) => inner.RollbackAsync(savepointName, cancellationToken);

    public override void Release(string savepointName) => inner.Release(savepointName);

    public override Task ReleaseAsync(string savepointName, CancellationToken cancellationToken = default) => inner.ReleaseAsync(savepointName, cancellationToken);

    public override async ValueTask DisposeAsync()
    {
        await inner.DisposeAsync().ConfigureAwait(false);
        IsCompleted = true;
        await base.DisposeAsync().ConfigureAwait(false);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
            IsCompleted = true;
        }

        base.Dispose(disposing);
    }
}
