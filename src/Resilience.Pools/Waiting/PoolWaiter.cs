using System.Threading.Tasks.Sources;
using Resilience.Context;

namespace Resilience.Pools;

/// <summary>
/// A caller who waits. Reused: the version of its task tells one wait from the next. It leaves <see cref="IsPending"/> exactly once,
/// under the pool's lock; whoever took it out of there completes it, outside of the lock.
/// </summary>
internal sealed class PoolWaiter<T> : IValueTaskSource<PoolLease<T>>, IDeadlined<PoolWaiter<T>>
    where T : class
{
    private ManualResetValueTaskSourceCore<PoolLease<T>> _core = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;

    /// <summary>Whom it waits for; nobody while it is spare.</summary>
    public ResourcePool<T>? Pool { get; set; }

    /// <summary>Guarded by the pool's lock.</summary>
    public bool IsPending { get; set; }

    /// <summary>Set when the token was cancelled before the waiter was queued. Guarded by the pool's lock.</summary>
    public bool IsCancelledEarly { get; set; }

    public Priority Priority { get; set; }

    public long EnqueuedAt { get; set; }

    /// <summary>The precise start of the wait; 0 unless somebody listens.</summary>
    public long StartTimestamp { get; set; }

    public long Due { get; set; }

    /// <summary>What the earliest of the limits was.</summary>
    public PoolWaitLimit Limit { get; set; }

    public string? File { get; set; }

    public int Line { get; set; }

    public string? Tag { get; set; }

    public string? Stack { get; set; }

    public IDisposable? Admission { get; set; }

    public NestedAcquire? Nested { get; set; }

    public bool IsNested { get; set; }

    public int HeapIndex { get; set; } = -1;

    public PoolWaiter<T>? DueBefore { get; set; }

    public PoolWaiter<T>? DueAfter { get; set; }

    public PoolWaiter<T>? Previous { get; set; }

    public PoolWaiter<T>? Next { get; set; }

    public CancellationToken Token => _token;

    public ValueTask<PoolLease<T>> Task => new(this, _core.Version);

    /// <summary>Watches the caller's token. Before queueing: a registration must not be missed by whoever completes the wait.</summary>
    public void Watch(CancellationToken token)
    {
        _token = token;
        _registration = token.UnsafeRegister(static state => ((PoolWaiter<T>)state!).Pool!.CancelWaiter((PoolWaiter<T>)state), this);
    }

    public void Grant(PoolLease<T> lease) => _core.SetResult(lease);

    public void Fail(Exception exception) => _core.SetException(exception);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    public PoolLease<T> GetResult(short token)
    {
        // Who asks with an old version must not take apart a wait of somebody else.
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
        {
            throw new InvalidOperationException("The wait for a pooled resource has not ended; await it.");
        }

        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            // A callback that can no longer be taken back may be about to look at this object: then it is left to the collector.
            if (!_token.CanBeCanceled || _registration.Unregister())
            {
                _core.Reset();
                SpareWaiters<T>.Return(this);
            }
        }
    }

    /// <summary>Drops all that belonged to the wait that has ended.</summary>
    public void Forget()
    {
        _token = default;
        _registration = default;
        IsCancelledEarly = false;
        File = Tag = Stack = null;
        Admission = null;
        Nested = null;
        IsNested = false;
        Pool = null;
    }
}
