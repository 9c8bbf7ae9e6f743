using Resilience.Benchmarks.Harness;

namespace Resilience.Benchmarks.Compare;

/// <summary>All groups of <c>compare</c>, in the order in which they run.</summary>
internal static class CompareGroups
{
    public static IReadOnlyDictionary<string, Func<ICompareGroup>> All { get; } = new Dictionary<string, Func<ICompareGroup>>(StringComparer.Ordinal)
    {
        ["context"] = () => new ContextGroup(),
        ["degrade"] = () => new DegradeGroup(),
        ["pools"] = () => new PoolsGroup(),
        ["pools-postgres"] = () => new PoolsPostgresGroup(),
        ["local-read"] = () => new LocalTierGroup(threads: 1),
        ["local-read-2"] = () => new LocalTierGroup(threads: 2),
        ["local-write"] = () => new LocalWriteGroup(),
        ["guard-100k"] = () => new GuardGroup(100_000),
        ["guard-10m"] = () => new GuardGroup(10_000_000),
        ["caching"] = () => new CachingGroup(),
        ["hosting"] = () => new HostingGroup(),
    };
}
