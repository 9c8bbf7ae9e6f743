namespace Resilience.Pools;

/// <summary>
/// Ends the wait for a provider's work when the token is cancelled, whatever the provider does: on a silent network a provider that asks
/// the server to cancel waits for the answer, and blocks a pool thread meanwhile. So the provider does not see the token. It is asked to
/// cancel on a thread of its own, and if the work has not ended a moment later the connection is given up.
/// </summary>
internal static class BoundedWork
{
    /// <summary>How long cancelled work may take to end before its connection is given up.</summary>
    private static readonly TimeSpan CancelGrace = TimeSpan.FromMilliseconds(100);

    /// <param name="work">The provider's work, begun without the token.</param>
    /// <param name="cancel">Asks the provider; <see langword="null"/> where it has no way to cancel.</param>
    /// <param name="connection">What is given up.</param>
    /// <param name="cancellationToken">The caller's token.</param>
    public static async Task<TResult> WaitAsync<TResult>(Task<TResult> work, Action? cancel, PooledDbConnection connection, CancellationToken cancellationToken)
    {
        if (work.IsCompleted || !cancellationToken.CanBeCanceled)
        {
            return await work.ConfigureAwait(false);
        }

        try
        {
            return await work.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The work may have succeeded since the wait was cancelled. What it gave, a reader or a transaction, is then handed out: were it
            // forgotten, the connection would go back with it open.
            Task asked = cancel is null || work.IsCompleted
                ? Task.CompletedTask
                : Task.Factory.StartNew(static ask => CancelQuietly((Action)ask!), cancel, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

            // A driver that is being cancelled runs on the machine's clock, whatever clock the pool has. Both have to end: a request to
            // cancel that comes late would hit the connection's next user.
            await Task.WhenAny(Task.WhenAll(work, asked), Task.Delay(CancelGrace, TimeProvider.System, CancellationToken.None)).ConfigureAwait(false);
            if (!work.IsCompleted || !asked.IsCompleted)
            {
                connection.GiveUp();
            }

            if (work.IsCompletedSuccessfully)
            {
                return await work.ConfigureAwait(false);
            }

            AbandonedTask.Observe(work);
            throw;
        }
    }

    /// <summary>The same for work without a result.</summary>
    public static async Task WaitAsync(Task work, PooledDbConnection connection, CancellationToken cancellationToken) =>
        await WaitAsync(ResultOfAsync(work), cancel: null, connection, cancellationToken).ConfigureAwait(false);

    private static async Task<bool> ResultOfAsync(Task work)
    {
        await work.ConfigureAwait(false);
        return true;
    }

    private static void CancelQuietly(Action cancel)
    {
        try
        {
            cancel();
        }
        catch (Exception)
        {
            // It is a courtesy to the server; the caller has been answered already.
        }
    }
}
