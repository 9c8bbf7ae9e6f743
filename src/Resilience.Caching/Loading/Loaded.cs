using System.Runtime.InteropServices;

namespace Resilience.Caching.Loading;

/// <summary>What a factory gave.</summary>
/// <param name="Value">The value.</param>
/// <param name="Load">What the factory said besides; <see langword="null"/> where it could say nothing.</param>
/// <param name="Cost">What the load took, in milliseconds.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct Loaded<T>(T Value, CacheLoad<T>? Load, long Cost);
