using Resilience.Caching.Shared;

namespace Resilience.Caching.Tests.Shared;

/// <summary>Empty, and content with everything.</summary>
internal abstract class SharedTierStub : ISharedTier
{
    public bool IsAtomic => true;

    public Task<byte[]?> ReadAsync(string key, CancellationToken cancellationToken) => Task.FromResult<byte[]?>(null);

    public Task<byte[]?[]> ReadManyAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken) => Task.FromResult(new byte[]?[keys.Count]);

    public virtual Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken) => Task.FromResult(true);

    public Task ExpireAsync(string key, long version, TimeSpan tombstoneLifetime, CancellationToken cancellationToken) => Task.CompletedTask;

    public virtual Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken) =>
        Task.FromResult(names.Select(_ => new TagVersion(1, 1)).ToArray());

    public Task<TagVersion> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor, CancellationToken cancellationToken) =>
        Task.FromResult(new TagVersion(floor.Latest + 1, floor.Latest + 1));
}
