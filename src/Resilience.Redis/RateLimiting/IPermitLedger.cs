using System.Runtime.InteropServices;

namespace Resilience.Redis.RateLimiting;

/// <summary>Where the fleet's permits are counted.</summary>
/// <remarks>Thread-safe. Throws when it cannot be reached; the limiter bounds the wait.</remarks>
internal interface IPermitLedger
{
    /// <summary>Takes permits: at least <paramref name="least"/>, or none; at most <paramref name="most"/>.</summary>
    /// <param name="permitsPerSecond">The rate.</param>
    /// <param name="burst">How many can be there at once.</param>
    /// <param name="least">The fewest that are of use.</param>
    /// <param name="most">The most that are wanted.</param>
    Task<PermitGrant> TakeAsync(double permitsPerSecond, int burst, int least, int most);
}

/// <summary>What the ledger gave.</summary>
/// <param name="Permits">How many.</param>
/// <param name="Wait">After what time there will be what was wanted at least; one more, when that was given.</param>
/// <param name="Nodes">How many nodes have lately taken from it, this one included.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct PermitGrant(int Permits, TimeSpan Wait, int Nodes);
