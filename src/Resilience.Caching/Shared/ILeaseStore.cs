namespace Resilience.Caching.Shared;

/// <summary>Leases across nodes, so that one of them loads a key. They save work; correctness never rests on them.</summary>
/// <remarks>Thread-safe. Members throw when the store cannot be reached.</remarks>
public interface ILeaseStore
{
    /// <summary>Takes the lease of a key if nobody holds it.</summary>
    /// <param name="key">The key, complete.</param>
    /// <param name="token">The taker's own mark.</param>
    /// <param name="duration">How long it lasts unless renewed.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <returns>The lease's number, higher than that of every lease of the key before it; 0 when somebody else holds it.</returns>
    Task<long> TryAcquireAsync(string key, string token, TimeSpan duration, CancellationToken cancellationToken);

    /// <summary>Renews a lease.</summary>
    /// <returns>Whether it was still held with this token.</returns>
    Task<bool> TryRenewAsync(string key, string token, TimeSpan duration, CancellationToken cancellationToken);

    /// <summary>Gives a lease back, if it is still held with this token.</summary>
    Task ReleaseAsync(string key, string token, CancellationToken cancellationToken);
}
