using Microsoft.Extensions.Caching.Distributed;

namespace Resilience.TestKit;

/// <summary>A distributed cache that keeps nothing, and fails while a test wants it to. Thread-safe.</summary>
public sealed class FlakyDistributedCache : IDistributedCache
{
    private volatile bool _isBroken;

    /// <summary>Whether every call fails with an <see cref="InvalidOperationException"/>; false by default.</summary>
    public bool IsBroken
    {
        get => _isBroken;
        set => _isBroken = value;
    }

    /// <inheritdoc/>
    public byte[]? Get(string key) => Answer();

    /// <inheritdoc/>
    public Task<byte[]?> GetAsync(string key, CancellationToken token = default) => Task.FromResult(Answer());

    /// <inheritdoc/>
    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => Answer();

    /// <inheritdoc/>
    public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default) => Task.FromResult(Answer());

    /// <inheritdoc/>
    public void Refresh(string key) => Answer();

    /// <inheritdoc/>
    public Task RefreshAsync(string key, CancellationToken token = default) => Task.FromResult(Answer());

    /// <inheritdoc/>
    public void Remove(string key) => Answer();

    /// <inheritdoc/>
    public Task RemoveAsync(string key, CancellationToken token = default) => Task.FromResult(Answer());

    private byte[]? Answer() => _isBroken ? throw new InvalidOperationException("the store is away") : null;
}
