using System.Runtime.CompilerServices;

namespace Resilience.Degrade;

/// <summary>Keeps overrides in this process alone: they end with it.</summary>
internal sealed class MemoryOverrideStore : IOverrideStore
{
    private readonly Lock _lock = new(); // guards _revision
    private long _revision;

    public ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken) => new([]);

    public ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            _revision = Math.Max(_revision, command.Revision) + 1;
            return new(command with { Revision = _revision });
        }
    }

    public async IAsyncEnumerable<OverrideCommand> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.Delay(Timeout.Infinite, cancellationToken).ConfigureAwait(false);
        yield break;
    }
}
