using System.Buffers;
using System.Buffers.Binary;
using Microsoft.Extensions.Caching.Distributed;

namespace Resilience.Caching.Shared;

/// <summary>
/// Any <see cref="IDistributedCache"/> as a shared tier. It has neither compare-and-set nor counters: a load that races a removal on
/// another node may bring the old value back until it expires, and two nodes that invalidate one tag at the same moment may count it once.
/// </summary>
internal sealed class DistributedCacheTier(IDistributedCache cache, TimeProvider time) : ISharedTier
{
    private static readonly TimeSpan VersionLifetime = TimeSpan.FromDays(30);

    public bool IsAtomic => false;

    public async Task<byte[]?> ReadAsync(string key, CancellationToken cancellationToken)
    {
        if (cache is not IBufferDistributedCache buffered)
        {
            return await cache.GetAsync(key, cancellationToken).ConfigureAwait(false);
        }

        var buffer = new ArrayBufferWriter<byte>(1024);
        return await buffered.TryGetAsync(key, buffer, cancellationToken).ConfigureAwait(false) ? buffer.WrittenSpan.ToArray() : null;
    }

    public async Task<byte[]?[]> ReadManyAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken) =>
        await Task.WhenAll(keys.Select(key => ReadAsync(key, cancellationToken))).ConfigureAwait(false);

    public async Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken)
    {
        if (write.IsConditional && SharedEnvelope.Version(await ReadAsync(write.Key, cancellationToken).ConfigureAwait(false)) != write.Expected)
        {
            return false; // Looked at and then written: two nodes may both find what they expect.
        }

        await StoreAsync(write.Key, write.Value, write.TimeToLive, cancellationToken).ConfigureAwait(false);
        return true;
    }

    public async Task ExpireAsync(string key, long version, TimeSpan tombstoneLifetime, CancellationToken cancellationToken)
    {
        byte[]? value = await ReadAsync(key, cancellationToken).ConfigureAwait(false);
        bool isThere = value is { Length: > SharedEnvelope.Size };
        value = isThere ? value! : new byte[SharedEnvelope.Size];
        SharedEnvelope.Write(value, version, isThere ? SharedEnvelope.Expired : SharedEnvelope.Tombstone);
        await StoreAsync(key, value, isThere ? TimeSpan.FromHours(1) : tombstoneLifetime, cancellationToken).ConfigureAwait(false);
    }

    public async Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken) =>
        await Task.WhenAll(names.Select(async (name, i) =>
        {
            TagVersion stored = Parse(await cache.GetAsync(Name(name), cancellationToken).ConfigureAwait(false));
            TagVersion version = stored == default ? First(floors[i]) : TagVersion.Max(stored, floors[i]);
            if (version != stored)
            {
                await StoreAsync(name, version, cancellationToken).ConfigureAwait(false);
            }

            return version;
        })).ConfigureAwait(false);

    public async Task<TagVersion> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor, CancellationToken cancellationToken)
    {
        TagVersion stored = Parse(await cache.GetAsync(Name(name), cancellationToken).ConfigureAwait(false));
        TagVersion version = First(TagVersion.Max(stored, floor));
        if (stored != default && !isRemoval)
        {
            version = version with { Removed = Math.Max(stored.Removed, floor.Removed) };
        }

        await StoreAsync(name, version, cancellationToken).ConfigureAwait(false);
        return version;
    }

    private static string Name(string name) => "version:" + name;

    private static TagVersion Parse(byte[]? value) =>
        value is { Length: 16 } && new TagVersion(BinaryPrimitives.ReadInt64LittleEndian(value), BinaryPrimitives.ReadInt64LittleEndian(value.AsSpan(8))) is { IsSound: true } version
            ? version
            : default;

    /// <summary>A version above the one that is known. It begins at the clock, so that one that was lost comes back higher.</summary>
    private TagVersion First(TagVersion known)
    {
        long latest = Math.Max(known.Latest + 1, time.GetUtcNow().ToUnixTimeMilliseconds() * 1000);
        return new TagVersion(latest, latest);
    }

    private Task StoreAsync(string name, TagVersion version, CancellationToken cancellationToken)
    {
        byte[] value = new byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(value, version.Latest);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(8), version.Removed);
        return StoreAsync(Name(name), value, VersionLifetime, cancellationToken);
    }

    private Task StoreAsync(string key, byte[] value, TimeSpan timeToLive, CancellationToken cancellationToken)
    {
        var options = new DistributedCacheEntryOptions { AbsoluteExpirationRelativeToNow = timeToLive };
        return cache is IBufferDistributedCache buffered
            ? buffered.SetAsync(key, new ReadOnlySequence<byte>(value), options, cancellationToken).AsTask()
            : cache.SetAsync(key, value, options, cancellationToken);
    }
}
