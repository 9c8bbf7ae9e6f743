using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace Resilience.Degrade;

/// <summary>Shorter forms of what <see cref="IDegradation"/> offers.</summary>
public static class DegradationExtensions
{
    /// <summary>Runs a feature with closures; see <see cref="IDegradation.RunAsync"/>.</summary>
    /// <typeparam name="TResult">The answer.</typeparam>
    /// <param name="degradation">The states of features.</param>
    /// <param name="feature">The feature.</param>
    /// <param name="primary">The work.</param>
    /// <param name="fallback">The answer in its place.</param>
    /// <param name="cancellationToken">The caller's token.</param>
    /// <exception cref="FeatureUnavailableException">The fallback was needed and did not answer, or the feature may only fail closed.</exception>
    public static ValueTask<TResult> RunAsync<TResult>(
        this IDegradation degradation,
        Feature feature,
        Func<CancellationToken, ValueTask<TResult>> primary,
        Func<CancellationToken, ValueTask<TResult>> fallback,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(degradation);
        ArgumentNullException.ThrowIfNull(primary);
        ArgumentNullException.ThrowIfNull(fallback);
        return degradation.RunAsync(
            feature,
            static (both, ct) => both.primary(ct),
            static (both, ct) => both.fallback(ct),
            (primary, fallback),
            handles: null,
            cancellationToken);
    }

    /// <summary>Runs a feature without an answer; see <see cref="IDegradation.RunAsync"/>.</summary>
    /// <param name="degradation">The states of features.</param>
    /// <param name="feature">The feature.</param>
    /// <param name="primary">The work.</param>
    /// <param name="fallback">What to do in its place; nothing when <see langword="null"/>.</param>
    /// <param name="cancellationToken">The caller's token.</param>
    /// <exception cref="FeatureUnavailableException">The fallback was needed and did not answer, or the feature may only fail closed.</exception>
    public static async ValueTask RunAsync(
        this IDegradation degradation,
        Feature feature,
        Func<CancellationToken, ValueTask> primary,
        Func<CancellationToken, ValueTask>? fallback = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(degradation);
        ArgumentNullException.ThrowIfNull(primary);
        await degradation.RunAsync(
            feature,
            static async (both, ct) =>
            {
                await both.primary(ct).ConfigureAwait(false);
                return true;
            },
            static async (both, ct) =>
            {
                if (both.fallback is { } instead)
                {
                    await instead(ct).ConfigureAwait(false);
                }

                return false;
            },
            (primary, fallback),
            handles: null,
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The changes from the moment on in which the first one is asked for, in order. A reader that falls more than 256 changes behind loses the oldest.</summary>
    /// <param name="degradation">The states of features.</param>
    /// <param name="cancellationToken">Ends the stream.</param>
    public static async IAsyncEnumerable<FeatureChange> Changes(this IDegradation degradation, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(degradation);
        var changes = Channel.CreateBounded<FeatureChange>(new BoundedChannelOptions(256) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });
        using IDisposable subscription = degradation.OnChange(change => changes.Writer.TryWrite(change));
        await foreach (FeatureChange change in changes.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            yield return change;
        }
    }
}
