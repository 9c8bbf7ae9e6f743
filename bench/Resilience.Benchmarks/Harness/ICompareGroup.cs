namespace Resilience.Benchmarks.Harness;

/// <summary>
/// Cases that are measured against one another in one run. The first is the limit: the least that anything of this kind can cost
/// here, to which every other case is a ratio. Disposed, if it can be, when its rows are printed.
/// </summary>
internal interface ICompareGroup
{
    /// <summary>The cases, the limit first; asked for once.</summary>
    IReadOnlyList<CompareCase> Cases();
}
