namespace Resilience.Context.Tests;

/// <summary>Tests that measure the heap of the process: nothing may run beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class HeapCollection
{
    public const string Name = "heap";
}
