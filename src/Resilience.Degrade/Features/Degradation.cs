using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>The front of the book of features: reads, and work run under a decision.</summary>
internal sealed class Degradation(FeatureBook book, FallbackRunner fallbacks, OverrideDesk overrides, ILogger<Degradation> logger) : IDegradation
{
    // Belongs to one request: neither sent nor taken into background work.
    private static readonly ScopeKey<DegradationSnapshot> Pinned = new("resilience.degrade.snapshot");

    public DegradationSnapshot Snapshot
    {
        get
        {
            RequestScope? scope = RequestScope.Current;
            if (scope is null)
            {
                return book.Snapshot;
            }

            // The owner is asked because one flow may pass through two applications, as it does in tests.
            if (scope.TryGet(Pinned, out DegradationSnapshot? pinned) && ReferenceEquals(pinned.Owner, book))
            {
                return pinned;
            }

            DegradationSnapshot live = book.Snapshot;
            try
            {
                scope.Set(Pinned, live);
            }
            catch (ScopeEndedException)
            {
                // The request ended in between: there is nothing left to be consistent with.
            }

            return live;
        }
    }

    public FeatureState StateOf(Feature feature)
    {
        ArgumentNullException.ThrowIfNull(feature);
        FeatureSlot[] slots = book.Snapshot.Slots;
        return (uint)feature.Index < (uint)slots.Length ? slots[feature.Index].State : book.SlotOf(book.Snapshot, feature).State;
    }

    public FeatureDecision Decide(Feature feature, in DegradationContext context = default)
    {
        ArgumentNullException.ThrowIfNull(feature);
        return book.SlotOf(Snapshot, feature).For(context);
    }

    public ValueTask<TResult> RunAsync<TState, TResult>(
        Feature feature,
        Func<TState, CancellationToken, ValueTask<TResult>> primary,
        Func<TState, CancellationToken, ValueTask<TResult>> fallback,
        TState state,
        Func<Exception, TState, bool>? handles = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(feature);
        ArgumentNullException.ThrowIfNull(primary);
        ArgumentNullException.ThrowIfNull(fallback);
        FeatureSlot slot = book.SlotOf(Snapshot, feature);
        if (slot.State >= slot.Rule.FallbackAt)
        {
            return fallbacks.RunAsync(slot, "state", fallback, state, null, cancellationToken);
        }

        if (slot.Rule.DrillShare > 0 && Random.Shared.NextDouble() < slot.Rule.DrillShare)
        {
            return fallbacks.RunAsync(slot, "drill", fallback, state, null, cancellationToken);
        }

        ValueTask<TResult> task;
        try
        {
            task = primary(state, cancellationToken);
            if (task.IsCompletedSuccessfully)
            {
                return task;
            }
        }
        catch (Exception exception) when (FallsBack(slot, exception, state, handles, cancellationToken))
        {
            return fallbacks.RunAsync(slot, "error", fallback, state, exception, cancellationToken);
        }

        return AwaitPrimary(slot, task, fallback, state, handles, cancellationToken);
    }

    public IDisposable OnChange(Action<FeatureChange> listener)
    {
        ArgumentNullException.ThrowIfNull(listener);
        return book.OnChange(listener);
    }

    public ValueTask<OverrideCommand> OverrideAsync(Feature feature, FeatureState state, string reason, string who, TimeSpan? ttl = null, CancellationToken cancellationToken = default) =>
        overrides.IssueAsync(feature, state, reason, who, ttl, cancellationToken);

    public ValueTask<OverrideCommand> LiftOverrideAsync(Feature feature, string reason, string who, CancellationToken cancellationToken = default) =>
        overrides.IssueAsync(feature, null, reason, who, null, cancellationToken);

    public IReadOnlyList<OverrideAuditEntry> RecentOverrides => overrides.Recent;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<TResult> AwaitPrimary<TState, TResult>(
        FeatureSlot slot,
        ValueTask<TResult> task,
        Func<TState, CancellationToken, ValueTask<TResult>> fallback,
        TState state,
        Func<Exception, TState, bool>? handles,
        CancellationToken cancellationToken)
    {
        Exception failure;
        try
        {
            return await task.ConfigureAwait(false);
        }
        catch (Exception exception) when (FallsBack(slot, exception, state, handles, cancellationToken))
        {
            failure = exception;
        }

        return await fallbacks.RunAsync(slot, "error", fallback, state, failure, cancellationToken).ConfigureAwait(false);
    }

    private bool FallsBack<TState>(FeatureSlot slot, Exception exception, TState state, Func<Exception, TState, bool>? handles, CancellationToken cancellationToken)
    {
        // An exception of this very package has been through a fallback already; cancellation by the caller wants no answer at all.
        if (!slot.Rule.FallbackOnError || slot.Rule.Feature.IsSecurityCritical
            || exception is FeatureUnavailableException
            || (exception is OperationCanceledException && cancellationToken.IsCancellationRequested)
            || handles?.Invoke(exception, state) == false)
        {
            return false;
        }

        DegradeLog.FeatureFailed(logger, slot.Rule.Feature.Name, exception);
        return true;
    }
}
