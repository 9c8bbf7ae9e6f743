namespace Resilience.AspNetCore.Tests.Admission;

/// <summary>Tests that measure: nothing else of the assembly runs meanwhile.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class OverloadCollection
{
    public const string Name = "overload";
}
