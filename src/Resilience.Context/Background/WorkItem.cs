namespace Resilience.Context;

/// <summary>One accepted piece of work. It ends exactly once: run or abandoned.</summary>
internal abstract class WorkItem(ScopeSnapshot snapshot, long enqueued)
{
    private const int Waiting = 0;
    private const int Running = 1;
    private const int Finished = 2;

    private int _stage;
    private int _isCounted;

    public ScopeSnapshot Snapshot { get; } = snapshot;

    /// <summary>When it was enqueued, by the queue's timestamps.</summary>
    public long Enqueued { get; } = enqueued;

    public abstract object? State { get; }

    /// <summary>Whether it was begun, ended or not.</summary>
    public bool IsStarted { get; private set; }

    /// <summary>Whether it has been said how it ended.</summary>
    public bool IsFinished => Volatile.Read(ref _stage) == Finished;

    /// <summary>Whether the caller is the one to count it as accepted: its producer or, if that is quicker, the worker that ends it.</summary>
    public bool TryCount() => Interlocked.Exchange(ref _isCounted, 1) == 0;

    /// <summary>Whether the caller is the one to run it.</summary>
    public bool TryStart() => IsStarted = Interlocked.CompareExchange(ref _stage, Running, Waiting) == Waiting;

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
