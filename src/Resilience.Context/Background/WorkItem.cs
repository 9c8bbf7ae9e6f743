namespace Resilience.Context;

/// <summary>One accepted piece of work. It ends exactly once: run or abandoned.</summary>
internal abstract class WorkItem(ScopeSnapshot snapshot, long enqueued)
{
    private const int Waiting = 0;
    private const int Running = 1;
    private const int Finished = 2;

    private int _stage;

    public ScopeSnapshot Snapshot { get; } = snapshot;

    /// <summary>When it was enqueued, by the queue's timestamps.</summary>
    public long Enqueued { get; } = enqueued;

    public abstract object? State { get; }

    /// <summary>Whether the caller is the one to run it.</summary>
    public bool TryStart() => Interlocked.CompareExchange(ref _stage, Running, Waiting) == Waiting;

    /// <summary>Whether the caller is the one to say how it ended.</summary>
    public bool TryFinish() => Interlocked.Exchange(ref _stage, Finished) != Finished;

    public abstract ValueTask RunAsync(IServiceProvider services, CancellationToken cancellationToken);
}

/// <inheritdoc/>
internal sealed class WorkItem<TState>(ScopeSnapshot snapshot, long enqueued, TState state, Func<IServiceProvider, TState, CancellationToken, ValueTask> work)
    : WorkItem(snapshot, enqueued)
{
    public override object? State => state;

    public override ValueTask RunAsync(IServiceProvider services, CancellationToken cancellationToken) => work(services, state, cancellationToken);
}
