namespace Resilience.Caching.Guard;

/// <summary>Knows every key that exists, such as the keys of a table.</summary>
public interface IGuardSource
{
    /// <summary>
    /// Streams the keys, spelled exactly as the cache is asked for them. Everything that was committed before the enumeration began must be
    /// among them; what commits meanwhile may or may not be. Duplicates are harmless. An exception ends the rebuild; the filter in force stays.
    /// </summary>
    /// <param name="cancellationToken">Cancelled when the host stops.</param>
    /// <returns>The keys, in any order.</returns>
    IAsyncEnumerable<string> ReadKeysAsync(CancellationToken cancellationToken);
}
