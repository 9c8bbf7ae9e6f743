using System.Threading.RateLimiting;

namespace Resilience.Redis.RateLimiting;

/// <summary>A caller that waits for the ledger's answer.</summary>
internal sealed class PermitWaiter(int permits)
{
    private readonly TaskCompletionSource<RateLimitLease> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private CancellationTokenRegistration _cancellation;

    public int Permits { get; } = permits;

    public bool IsGone => _answer.Task.IsCompleted;

    public Task<RateLimitLease> Answer => _answer.Task;

    public void CancelWith(CancellationToken cancellationToken)
    {
        _cancellation = cancellationToken.UnsafeRegister(static (state, token) => ((PermitWaiter)state!)._answer.TrySetCanceled(token), this);
        if (IsGone)
        {
            _cancellation.Unregister(); // answered in between: a token that lives on must not hold it
        }
    }

    /// <summary>Answers, unless the caller has gone.</summary>
    public bool TryAnswer(PermitLease lease)
    {
        bool answered = _answer.TrySetResult(lease);
        _cancellation.Unregister();
        return answered;
    }
}
