namespace Resilience.Degrade;

/// <summary>
/// Runs fallbacks within their bounds: a deadline, so many at a time, at most one fallback inside a fallback, and none at all for a
/// feature that may only fail closed. A fallback that is rarely run and then hangs is itself an outage.
/// </summary>
internal sealed class FallbackRunner(TimeProvider time, DegradeMetrics metrics)
{
    /// <summary>How many fallbacks may be inside one another.</summary>
    private const int MaxDepth = 2;

    // Set only while a fallback runs, so that healthy calls never pay for it.
    private static readonly AsyncLocal<int> Depth = new();

    public ValueTask<TResult> RunAsync<TState, TResult>(
        FeatureSlot slot,
        string cause,
        Func<TState, CancellationToken, ValueTask<TResult>> fallback,
        TState state,
        Exception? failure,
        CancellationToken cancellationToken)
    {
        Feature feature = slot.Rule.Feature;
        if (feature.IsSecurityCritical)
        {
            return Refuse<TResult>(slot, cause, FeatureUnavailableReason.FailsClosed,
                $"Feature '{feature.Name}' is {slot.State} ({slot.Decision.Reason}) and security critical: nothing may answer in its place.", failure);
        }

        if (Depth.Value >= MaxDepth)
        {
            return Refuse<TResult>(slot, cause, FeatureUnavailableReason.FallbackChained,
                $"Feature '{feature.Name}': its fallback was needed inside a fallback inside a fallback. A fallback must not depend on features that fail with it.", failure);
        }

        if (!slot.Gate.TryEnter(slot.Rule.FallbackConcurrency))
        {
            return Refuse<TResult>(slot, cause, FeatureUnavailableReason.FallbackSaturated,
                $"Feature '{feature.Name}' is {slot.State}: {slot.Rule.FallbackConcurrency} fallbacks run already. Make the fallback faster or raise FallbackConcurrency.", failure);
        }

        return RunEntered(slot, cause, fallback, state, failure, cancellationToken);
    }

    private async ValueTask<TResult> RunEntered<TState, TResult>(
        FeatureSlot slot,
        string cause,
        Func<TState, CancellationToken, ValueTask<TResult>> fallback,
        TState state,
        Exception? failure,
        CancellationToken cancellationToken)
    {
        long started = metrics.MeasuresFallbacks ? time.GetTimestamp() : 0;
        using var deadline = new CancellationTokenSource(slot.Rule.FallbackTimeout, time);
        using CancellationTokenSource? linked = cancellationToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken) : null;
        CancellationToken token = (linked ?? deadline).Token;
        string outcome = "error";
        bool mayLeave = true;
        Depth.Value++;
        try
        {
            ValueTask<TResult> task = fallback(state, token);
            if (task.IsCompleted)
            {
                TResult atOnce = await task.ConfigureAwait(false);
                outcome = "ok";
                return atOnce;
            }

            // The caller waits no longer than the deadline even for a fallback that ignores its token. Such a one keeps its place in the
            // bulkhead until it has really ended.
            Task<TResult> running = task.AsTask();
            mayLeave = false;
            _ = running.ContinueWith(
                static (done, gate) =>
                {
                    _ = done.Exception; // seen: the caller was told of the timeout
                    ((FallbackGate)gate!).Leave();
                },
                slot.Gate,
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
            TResult result = await running.WaitAsync(token).ConfigureAwait(false);
            outcome = "ok";
            return result;
        }
        catch (OperationCanceledException exception) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            outcome = "timeout";
            throw Unavailable(slot, FeatureUnavailableReason.FallbackTimedOut,
                $"Feature '{slot.Rule.Feature.Name}' is {slot.State}: its fallback did not answer within {slot.Rule.FallbackTimeout.TotalMilliseconds:0} ms. A fallback should need nothing that can be slow.", failure ?? exception);
        }
        finally
        {
            if (mayLeave)
            {
                slot.Gate.Leave();
            }

            metrics.Fallback(slot.Rule.Feature, cause, outcome, started == 0 ? 0 : time.GetElapsedTime(started).TotalSeconds);
        }
    }

    private ValueTask<TResult> Refuse<TResult>(FeatureSlot slot, string cause, FeatureUnavailableReason reason, string message, Exception? failure)
    {
        metrics.Fallback(slot.Rule.Feature, cause, "refused", 0);
        return ValueTask.FromException<TResult>(Unavailable(slot, reason, message, failure));
    }

    private static FeatureUnavailableException Unavailable(FeatureSlot slot, FeatureUnavailableReason reason, string message, Exception? failure) =>
        new(slot.Decision, reason, message, failure);
}
