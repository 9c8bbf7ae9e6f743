namespace Resilience.Pools;

/// <summary>How a pool makes, checks and ends its resources.</summary>
/// <typeparam name="T">The resource.</typeparam>
/// <remarks>
/// Thread-safe: calls for different resources come at once; calls for one resource never overlap. All run in a clean execution context,
/// never in that of the caller who happened to need a resource. A token that is cancelled means that the time allowed is up.
/// </remarks>
public interface IResourceFactory<T>
    where T : class
{
    /// <summary>Makes a resource. The pool owns it from then on.</summary>
    /// <param name="cancellationToken">Cancelled after <see cref="PoolOptions.CreateTimeout"/>; never by a caller who stops waiting.</param>
    ValueTask<T> CreateAsync(CancellationToken cancellationToken);

    /// <summary>Whether a resource still works; false or an exception has it destroyed. By default it does.</summary>
    /// <param name="resource">An idle resource.</param>
    /// <param name="cancellationToken">Cancelled after <see cref="PoolOptions.ValidateTimeout"/>.</param>
    ValueTask<bool> ValidateAsync(T resource, CancellationToken cancellationToken) => new(true);

    /// <summary>
    /// Makes a returned resource as good as new; false or an exception has it destroyed. What is not done synchronously is done in the
    /// background: whoever returns a resource does not wait for it. By default there is nothing to do.
    /// </summary>
    /// <param name="resource">The returned resource.</param>
    /// <param name="cancellationToken">Cancelled after <see cref="PoolOptions.ValidateTimeout"/>.</param>
    ValueTask<bool> ResetAsync(T resource, CancellationToken cancellationToken) => new(true);

    /// <summary>Whether <see cref="ResetAsync"/> does anything: when false, a return skips it. False by default.</summary>
    bool Resets => false;

    /// <summary>Ends a resource. By default it is disposed, asynchronously if it can be.</summary>
    /// <param name="resource">The resource; nobody leases it any more, but a former holder may still have the object.</param>
    /// <param name="cancellationToken">Cancelled after <see cref="PoolOptions.DestroyTimeout"/>.</param>
    ValueTask DestroyAsync(T resource, CancellationToken cancellationToken) => DisposeAsync(resource);

    /// <summary>
    /// Whether a failure during use means that the resource is broken. Then it is destroyed, and the idle ones are validated before
    /// their next use, because what broke one has often broken all. By default every failure but a cancellation is fatal.
    /// </summary>
    /// <param name="resource">The resource that was in use.</param>
    /// <param name="exception">What its user's code threw.</param>
    bool IsFatal(T resource, Exception exception) => exception is not OperationCanceledException;

    /// <summary>Disposes a resource, asynchronously if it can be; nothing where there is nothing to dispose.</summary>
    internal static ValueTask DisposeAsync(T resource)
    {
        switch (resource)
        {
            case IAsyncDisposable asyncDisposable:
                return asyncDisposable.DisposeAsync();
            case IDisposable disposable:
                disposable.Dispose();
                break;
        }

        return default;
    }
}
