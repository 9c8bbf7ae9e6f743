using Resilience.Benchmarks.Harness;

namespace Resilience.Benchmarks.Compare;

/// <summary>All groups of <c>compare</c>, in the order in which they run.</summary>
internal static class CompareGroups
{
    public static IReadOnlyDictionary<string, Func<ICompareGroup>> All { get; } = new Dictionary<string, Func<ICompareGroup>>(StringComparer.Ordinal)
    {
        ["context"] = () => new ContextGroup(),
        ["caching"] = () => new CachingGroup(),
    };
}
