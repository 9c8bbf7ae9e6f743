namespace Resilience.Caching.Shared;

/// <summary>The tier that nodes share. Implementations know how to store bytes; what the bytes mean is the cache's business.</summary>
/// <remarks>
/// <para>A value is stored as an envelope (<see cref="SharedEnvelope"/>: version and state) and a frame. Keys come complete, with the
/// cache's name; a prefix of the deployment is the tier's own.</para>
/// <para>Members throw when the tier cannot be reached; the cache bounds every call by its own timeout, counts failures in its breaker and
/// never lets them reach a caller. They must not block. Thread-safe.</para>
/// </remarks>
public interface ISharedTier
{
    /// <summary>
    /// Whether writes compare and set atomically. Where they don't, a load that races a removal on another node may bring back the old
    /// value until it expires.
    /// </summary>
    bool IsAtomic { get; }

    /// <summary>Reads one value.</summary>
    /// <returns>The stored bytes, envelope included; <see langword="null"/> when there are none.</returns>
    Task<byte[]?> ReadAsync(string key, CancellationToken cancellationToken);

    /// <summary>Reads many values in as few round trips as possible.</summary>
    /// <returns>The stored bytes in the order of the keys.</returns>
    Task<byte[]?[]> ReadManyAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken);

    /// <summary>Writes one value.</summary>
    /// <param name="write">What to write.</param>
    /// <param name="cancellationToken">Stops the wait, not necessarily the write.</param>
    /// <returns>Whether it was written: false when the condition did not hold.</returns>
    Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken);

    /// <summary>Marks a value as expired, keeping it as a stale copy; without a value leaves a tombstone.</summary>
    /// <param name="key">The key.</param>
    /// <param name="version">The new version.</param>
    /// <param name="tombstoneLifetime">How long a tombstone lasts.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    Task ExpireAsync(string key, long version, TimeSpan tombstoneLifetime, CancellationToken cancellationToken);

    /// <summary>Reads the versions of tags, creating those that are missing, so that a version once lost comes back higher.</summary>
    /// <param name="names">The names, complete.</param>
    /// <param name="floors">For each the highest version that the caller knows: a lower one is raised to it, as it was lost on the way.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <returns>The versions in the order of the names.</returns>
    Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken);

    /// <summary>Raises the version of a tag.</summary>
    /// <param name="name">The name, complete.</param>
    /// <param name="isRemoval">Whether older values are to be forgotten rather than become stale.</param>
    /// <param name="floor">The highest version that the caller knows; the new one is above it.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <returns>The new version.</returns>
    Task<TagVersion> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor, CancellationToken cancellationToken);
}

/// <summary>One write to the shared tier.</summary>
/// <param name="Key">The key.</param>
/// <param name="Value">Envelope and frame.</param>
/// <param name="TimeToLive">How long the tier keeps it.</param>
/// <param name="IsConditional">Whether it is written only while the stored version is <paramref name="Expected"/>.</param>
/// <param name="Expected">The version that must be stored: 0 for none.</param>
/// <param name="Fence">The number of the lease under which the value was made: not written when a newer lease was given; 0 for none.</param>
public readonly record struct SharedWrite(string Key, byte[] Value, TimeSpan TimeToLive, bool IsConditional = false, long Expected = 0, long Fence = 0);

/// <summary>The version of a tag in the shared tier. Versions only grow, from 1 up to 4·10^15; those that begin at a clock in microseconds stay below until 2096.</summary>
/// <param name="Latest">Raised by every expiry and every removal: values made under a lower one are not fresh.</param>
/// <param name="Removed">The latest version that was a removal: values made under a lower one are gone.</param>
[System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Auto)]
public readonly record struct TagVersion(long Latest, long Removed)
{
    /// <summary>
    /// Above what number somebody else's version is none: far enough below what tiers can count that a version which is believed can always be
    /// raised. 2^53 is the end of Lua's.
    /// </summary>
    private const long MaxBelieved = 4_000_000_000_000_000;

    /// <summary>Whether a tag can have this version; what comes from outside may be anything.</summary>
    internal bool IsSound => Latest is > 0 and < MaxBelieved && Removed >= 0 && Removed <= Latest;

    /// <summary>The higher of two, part by part.</summary>
    public static TagVersion Max(TagVersion left, TagVersion right) =>
        new(Math.Max(left.Latest, right.Latest), Math.Max(left.Removed, right.Removed));
}
