using Microsoft.CodeAnalysis;

namespace Resilience.Degrade.Generators;

/// <summary>What can be wrong with a feature interface.</summary>
internal static class FeatureDiagnostics
{
    public static readonly DiagnosticDescriptor NotTopLevel = new(
        "RKD001",
        "A feature interface must be top-level and not generic",
        "Feature interface '{0}' must be declared in a namespace, not inside another type, and have no type parameters",
        "Resilience.Degrade",
        DiagnosticSeverity.Error,
        isEnabledByDefault: true);

    public static readonly DiagnosticDescriptor NotAsynchronous = new(
        "RKD002",
        "A security critical feature has only asynchronous members",
        "Member '{0}' must return Task or ValueTask: a security critical feature fails closed, which a synchronous member cannot",
        "Resilience.Degrade",
        DiagnosticSeverity.Error,
        isEnabledByDefault: true);

    public static readonly DiagnosticDescriptor NotSupported = new(
        "RKD003",
        "The member cannot be decorated",
        "Member '{0}' cannot be decorated: events, indexers, init-only properties and static abstract, protected, generic, by-reference and pointer members are not supported",
        "Resilience.Degrade",
        DiagnosticSeverity.Error,
        isEnabledByDefault: true);

    public static DiagnosticDescriptor ById(string id) => id switch
    {
        "RKD001" => NotTopLevel,
        "RKD002" => NotAsynchronous,
        _ => NotSupported,
    };
}
