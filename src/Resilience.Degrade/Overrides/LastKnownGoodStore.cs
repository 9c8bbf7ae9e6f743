using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Resilience.Degrade;

/// <summary>
/// Keeps on this node's disk what a shared store has said, so that a node that starts while the store is away holds the overrides that were in force. The
/// copy also tells when the store was set back. That it cannot be written is told and stops nothing.
/// </summary>
internal sealed class LastKnownGoodStore(IOverrideStore shared, FileOverrideStore copy, ILogger<FileOverrideStore> logger) : IOverrideStore, IAsyncDisposable, IDisposable
{
    private volatile bool _isCopying = true; // false while the copy cannot be written: told once an episode

    public async ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<OverrideCommand> commands;
        try
        {
            commands = await shared.LoadAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            commands = await copy.LoadAsync(cancellationToken).ConfigureAwait(false);
            throw new OverrideStoreAwayException(commands, exception);
        }

        await CopyAsync(commands, cancellationToken).ConfigureAwait(false);
        try
        {
            // The copy has the newest of each feature: a store that was set back to an older command is found out, even after a restart.
            IReadOnlyList<OverrideCommand> copied = await copy.LoadAsync(cancellationToken).ConfigureAwait(false);
            return [.. commands.Concat(copied).GroupBy(command => command.Feature, StringComparer.OrdinalIgnoreCase).Select(same => same.MaxBy(command => command.Revision)!)];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return commands;
        }
    }

    public async ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
    {
        OverrideCommand kept = await shared.AppendAsync(command, cancellationToken).ConfigureAwait(false);
        await CopyAsync([kept], CancellationToken.None).ConfigureAwait(false);
        return kept;
    }

    public async IAsyncEnumerable<OverrideCommand> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (OverrideCommand command in shared.WatchAsync(cancellationToken).ConfigureAwait(false))
        {
            yield return command;

            // Only after the receiver has taken it: disk is slower than an emergency. What the receiver refuses is refused again when it is read.
            await CopyAsync([command], cancellationToken).ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        copy.Dispose();
        if (shared is IAsyncDisposable asynchronous)
        {
            await asynchronous.DisposeAsync().ConfigureAwait(false);
        }
        else
        {
            (shared as IDisposable)?.Dispose();
        }
    }

    /// <summary>For containers that are disposed without waiting; a store that can only be disposed asynchronously is let go.</summary>
    public void Dispose()
    {
        copy.Dispose();
        (shared as IDisposable)?.Dispose();
    }

    private async ValueTask CopyAsync(IReadOnlyList<OverrideCommand> commands, CancellationToken cancellationToken)
    {
        try
        {
            await copy.KeepAsync(commands, cancellationToken).ConfigureAwait(false);
            _isCopying = true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            if (_isCopying)
            {
                _isCopying = false;
                DegradeLog.OverrideCopyFailed(logger, exception);
            }
        }
    }
}

/// <summary>The shared store cannot be asked; here is what was in force when it last could.</summary>
internal sealed class OverrideStoreAwayException(IReadOnlyList<OverrideCommand> lastKnown, Exception inner) : Exception(inner.Message, inner)
{
    public IReadOnlyList<OverrideCommand> LastKnown { get; } = lastKnown;
}
