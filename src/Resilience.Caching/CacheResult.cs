using System.Diagnostics.CodeAnalysis;

namespace Resilience.Caching;

/// <summary>What a look into the cache found.</summary>
/// <typeparam name="T">The type of the value.</typeparam>
/// <param name="HasValue">Whether there is a value; it may be <see langword="null"/>, which is a value.</param>
/// <param name="Value">The value.</param>
/// <param name="Origin">The tier that had it.</param>
/// <param name="IsStale">Whether it is past its expiry: a copy kept for the time when the source fails.</param>
/// <param name="IsKnownAbsent">Whether the cache remembers that there is no such thing.</param>
/// <param name="Age">How long ago the value was made.</param>
[System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Auto)]
public readonly record struct CacheResult<T>(bool HasValue, T? Value, CacheOrigin Origin, bool IsStale, bool IsKnownAbsent, TimeSpan Age)
{
    /// <summary>Gets the value if there is one.</summary>
    /// <param name="value">The value.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryGet([MaybeNullWhen(false)] out T value)
    {
        value = Value;
        return HasValue;
    }
}
