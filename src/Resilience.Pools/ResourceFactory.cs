namespace Resilience.Pools;

/// <summary>A factory made of delegates, for small uses. Thread-safe if the delegates are.</summary>
/// <typeparam name="T">The resource.</typeparam>
public sealed class ResourceFactory<T> : IResourceFactory<T>
    where T : class
{
    private readonly Func<CancellationToken, ValueTask<T>> _create;

    /// <summary>Makes a factory.</summary>
    /// <param name="create">Makes a resource.</param>
    public ResourceFactory(Func<CancellationToken, ValueTask<T>> create)
    {
        ArgumentNullException.ThrowIfNull(create);
        _create = create;
    }

    /// <summary>Whether a resource still works; it does when this is <see langword="null"/>, the default.</summary>
    public Func<T, CancellationToken, ValueTask<bool>>? Validate { get; init; }

    /// <summary>Makes a returned resource as good as new; nothing to do when this is <see langword="null"/>, the default.</summary>
    public Func<T, CancellationToken, ValueTask<bool>>? Reset { get; init; }

    /// <summary>Ends a resource; it is disposed when this is <see langword="null"/>, the default.</summary>
    public Func<T, CancellationToken, ValueTask>? Destroy { get; init; }

    /// <summary>Whether a failure during use means that the resource is broken; every failure but a cancellation when this is <see langword="null"/>, the default.</summary>
    public Func<T, Exception, bool>? Fatal { get; init; }

    /// <inheritdoc/>
    public bool Resets => Reset is not null;

    /// <inheritdoc/>
    public ValueTask<T> CreateAsync(CancellationToken cancellationToken) => _create(cancellationToken);

    /// <inheritdoc/>
    public ValueTask<bool> ValidateAsync(T resource, CancellationToken cancellationToken) =>
        Validate?.Invoke(resource, cancellationToken) ?? new ValueTask<bool>(true);

    /// <inheritdoc/>
    public ValueTask<bool> ResetAsync(T resource, CancellationToken cancellationToken) =>
        Reset?.Invoke(resource, cancellationToken) ?? new ValueTask<bool>(true);

    /// <inheritdoc/>
    public ValueTask DestroyAsync(T resource, CancellationToken cancellationToken) =>
        Destroy?.Invoke(resource, cancellationToken) ?? IResourceFactory<T>.DisposeAsync(resource);

    /// <inheritdoc/>
    public bool IsFatal(T resource, Exception exception) => Fatal?.Invoke(resource, exception) ?? exception is not OperationCanceledException;
}
