namespace Resilience.Degrade;

/// <summary>The states of all features: read them, run work under them, be told of changes, override them for a while.</summary>
/// <remarks>Thread-safe. One per container, a singleton.</remarks>
public interface IDegradation
{
    /// <summary>All decisions of one moment. Within a request scope every call gives the same snapshot, so that nothing flips half-way.</summary>
    DegradationSnapshot Snapshot { get; }

    /// <summary>
    /// The state at this very moment: a volatile read, no allocation. Two calls within a request may differ;
    /// where that matters ask <see cref="Snapshot"/>, <see cref="Decide"/> or <see cref="RunAsync"/>. It knows no caller: exempt ones and shares count in
    /// <see cref="Decide"/> alone.
    /// </summary>
    /// <param name="feature">The feature.</param>
    FeatureState StateOf(Feature feature);

    /// <summary>What holds for a caller, from the snapshot of the request. Allocates nothing.</summary>
    /// <param name="feature">The feature.</param>
    /// <param name="context">Who it is for: exempt groups and shares are drawn from it.</param>
    FeatureDecision Decide(Feature feature, in DegradationContext context = default);

    /// <summary>
    /// Runs a feature: its work while it is <see cref="FeatureState.Normal"/> or <see cref="FeatureState.Degraded"/>, its fallback while it
    /// is <see cref="FeatureState.Off"/> or when the work fails. Pass static delegates and a state: then a call allocates nothing. It knows no caller:
    /// where some are exempt, or a share of them is meant, ask <see cref="Decide"/> and run what it says.
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

    /// <summary>
    /// Calls back after each change of a feature, in order, one at a time, on the thread that made the change or, while that of an earlier change still
    /// calls, on that one.
    /// </summary>
    /// <param name="listener">What to call. What it throws is logged and stops nobody else.</param>
    /// <returns>Dispose it to be called no more.</returns>
    IDisposable OnChange(Action<FeatureChange> listener);

    /// <summary>
    /// Overrides the configuration and pressure for a while. It is written down first, then kept in the store, then takes effect. When it makes the
    /// feature do less it takes effect even if neither can be reached.
    /// </summary>
    /// <param name="feature">The feature.</param>
    /// <param name="state">The state to hold.</param>
    /// <param name="reason">Why; shown wherever the decision is.</param>
    /// <param name="who">Who says so.</param>
    /// <param name="ttl">For how long, up to 24 h; <c>Overrides:DefaultTtl</c> (30 min) when <see langword="null"/>. Measured on the monotonic clock.</param>
    /// <param name="cancellationToken">Ends the attempt before it takes effect.</param>
    /// <exception cref="ArgumentException">There is no reason or no name.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such state, or the time is not from 1 ms to 24 h.</exception>
    ValueTask<OverrideCommand> OverrideAsync(Feature feature, FeatureState state, string reason, string who, TimeSpan? ttl = null, CancellationToken cancellationToken = default);

    /// <summary>Lifts an override before it ends by itself.</summary>
    /// <param name="feature">The feature.</param>
    /// <param name="reason">Why.</param>
    /// <param name="who">Who says so.</param>
    /// <param name="cancellationToken">Ends the attempt before it takes effect.</param>
    ValueTask<OverrideCommand> LiftOverrideAsync(Feature feature, string reason, string who, CancellationToken cancellationToken = default);

    /// <summary>The last 256 commands given at this node, oldest first.</summary>
    IReadOnlyList<OverrideAuditEntry> RecentOverrides { get; }
}
