namespace Resilience.Degrade;

/// <summary>The states of all features: read them, run work under them, be told of changes, override them for a while.</summary>
/// <remarks>Thread-safe. One per container, a singleton.</remarks>
public interface IDegradation
{
    /// <summary>All decisions of one moment. Within a request scope every call gives the same snapshot, so that nothing flips half-way.</summary>
    DegradationSnapshot Snapshot { get; }

    /// <summary>
    /// The state at this very moment: a volatile read, no allocation. Two calls within a request may differ;
    /// where that matters ask <see cref="Snapshot"/>, <see cref="Decide"/> or <see cref="RunAsync"/>.
    /// </summary>
    /// <param name="feature">The feature.</param>
    FeatureState StateOf(Feature feature);

    /// <summary>What holds for a caller, from the snapshot of the request. Allocates nothing.</summary>
    /// <param name="feature">The feature.</param>
    /// <param name="context">Who it is for: exempt groups and shares are drawn from it.</param>
    FeatureDecision Decide(Feature feature, in DegradationContext context = default);

    /// <summary>
    /// Runs a feature: its work while it is <see cref="FeatureState.Normal"/> or <see cref="FeatureState.Degraded"/>, its fallback while it
    /// is <see cref="FeatureState.Off"/> or when the work fails. Pass static delegates and a state: then a call allocates nothing.
    /// </summary>
    /// <typeparam name="TState">What the delegates need.</typeparam>
    /// <typeparam name="TResult">The answer.</typeparam>
    /// <param name="feature">The feature.</param>
    /// <param name="primary">The work.</param>
    /// <param name="fallback">The answer in its place. It has a deadline and few may run at a time; its token is cancelled at the deadline.</param>
    /// <param name="state">Passed to the delegates.</param>
    /// <param name="handles">Which failures of the work the fallback answers; all but cancellation by the caller when <see langword="null"/>.</param>
    /// <param name="cancellationToken">The caller's token, passed on to both.</param>
    /// <exception cref="FeatureUnavailableException">The fallback was needed and did not answer, or the feature may only fail closed.</exception>
    ValueTask<TResult> RunAsync<TState, TResult>(
        Feature feature,
        Func<TState, CancellationToken, ValueTask<TResult>> primary,
        Func<TState, CancellationToken, ValueTask<TResult>> fallback,
        TState state,
        Func<Exception, TState, bool>? handles = null,
        CancellationToken cancellationToken = default);

    /// <summary>Calls back after each change of a feature, in order, one at a time, on the thread that made the change.</summary>
    /// <param name="listener">What to call. What it throws is logged and stops nobody else.</param>
    /// <returns>Dispose it to be called no more.</returns>
    IDisposable OnChange(Action<FeatureChange> listener);
}
