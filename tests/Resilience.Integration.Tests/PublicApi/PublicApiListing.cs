using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace Resilience.Integration.Tests.PublicApi;

/// <summary>
/// Writes down what users of an assembly can see: each type with its bases, below it each member with its signature, nullability,
/// defaults and constants, everything sorted, so that a change of the surface is a change of the text.
/// </summary>
internal static class PublicApiListing
{
    private static readonly SymbolDisplayFormat TypeNames = new(
        typeQualificationStyle: SymbolDisplayTypeQualificationStyle.NameAndContainingTypesAndNamespaces,
        genericsOptions: SymbolDisplayGenericsOptions.IncludeTypeParameters | SymbolDisplayGenericsOptions.IncludeVariance | SymbolDisplayGenericsOptions.IncludeTypeConstraints,
        miscellaneousOptions: Miscellaneous);

    private static readonly SymbolDisplayFormat TypeUses = TypeNames.WithGenericsOptions(SymbolDisplayGenericsOptions.IncludeTypeParameters);

    private static readonly SymbolDisplayFormat Members = new(
        typeQualificationStyle: SymbolDisplayTypeQualificationStyle.NameAndContainingTypesAndNamespaces,
        genericsOptions: SymbolDisplayGenericsOptions.IncludeTypeParameters | SymbolDisplayGenericsOptions.IncludeTypeConstraints,
        memberOptions: SymbolDisplayMemberOptions.IncludeType | SymbolDisplayMemberOptions.IncludeModifiers | SymbolDisplayMemberOptions.IncludeParameters
            | SymbolDisplayMemberOptions.IncludeRef | SymbolDisplayMemberOptions.IncludeConstantValue,
        parameterOptions: SymbolDisplayParameterOptions.IncludeType | SymbolDisplayParameterOptions.IncludeName | SymbolDisplayParameterOptions.IncludeDefaultValue
            | SymbolDisplayParameterOptions.IncludeExtensionThis | SymbolDisplayParameterOptions.IncludeModifiers | SymbolDisplayParameterOptions.IncludeParamsRefOut,
        propertyStyle: SymbolDisplayPropertyStyle.ShowReadWriteDescriptor,
        delegateStyle: SymbolDisplayDelegateStyle.NameAndSignature,
        kindOptions: SymbolDisplayKindOptions.IncludeMemberKeyword,
        miscellaneousOptions: Miscellaneous);

    private const SymbolDisplayMiscellaneousOptions Miscellaneous =
        SymbolDisplayMiscellaneousOptions.UseSpecialTypes
        | SymbolDisplayMiscellaneousOptions.IncludeNullableReferenceTypeModifier
        | SymbolDisplayMiscellaneousOptions.EscapeKeywordIdentifiers;

    /// <summary>Writes the listing of an assembly.</summary>
    /// <param name="assembly">Its path.</param>
    /// <param name="references">The paths of all assemblies that it may refer to.</param>
    public static string Write(string assembly, IEnumerable<string> references)
    {
        MetadataReference own = MetadataReference.CreateFromFile(assembly);
        string name = Path.GetFileName(assembly);
        CSharpCompilation compilation = CSharpCompilation.Create(
            "listing",
            references: [own, .. references.Where(path => Path.GetFileName(path) != name).Select(path => MetadataReference.CreateFromFile(path))]);
        var symbol = (IAssemblySymbol)compilation.GetAssemblyOrModuleSymbol(own)!;

        var text = new StringBuilder();
        foreach (INamedTypeSymbol type in Types(symbol.GlobalNamespace).OrderBy(type => type.ToDisplayString(TypeNames), StringComparer.Ordinal))
        {
            text.Append(text.Length > 0 ? "\n" : "").Append(Declaration(type)).Append('\n');
            foreach (string member in MembersOf(type))
            {
                text.Append("    ").Append(member).Append('\n');
            }
        }

        return text.ToString();
    }

    private static IEnumerable<INamedTypeSymbol> Types(INamespaceOrTypeSymbol container) =>
        container.GetMembers().OfType<INamespaceOrTypeSymbol>().SelectMany(member => member switch
        {
            INamedTypeSymbol type when IsVisible(type) => Types(type).Prepend(type),
            INamespaceSymbol inner => Types(inner),
            _ => [],
        });

    private static bool IsVisible(ISymbol symbol)
    {
        bool accessible = symbol.DeclaredAccessibility switch
        {
            Accessibility.Public => true,
            Accessibility.Protected or Accessibility.ProtectedOrInternal => symbol.ContainingType is { IsSealed: false },
            _ => false,
        };
        return accessible && !symbol.IsImplicitlyDeclared && !IsCompilerGenerated(symbol);
    }

    private static bool IsCompilerGenerated(ISymbol symbol) =>
        symbol.Name.StartsWith('<') || symbol.GetAttributes().Any(attribute => attribute.AttributeClass?.Name == "CompilerGeneratedAttribute");

    private static string Declaration(INamedTypeSymbol type)
    {
        if (type.TypeKind == TypeKind.Delegate)
        {
            return $"delegate {type.DelegateInvokeMethod!.ReturnType.ToDisplayString(TypeUses)} {type.ToDisplayString(Members)}";
        }

        string modifiers = type switch
        {
            { TypeKind: TypeKind.Class, IsStatic: true } => "static ",
            { TypeKind: TypeKind.Class, IsAbstract: true } => "abstract ",
            { TypeKind: TypeKind.Class, IsSealed: true } => "sealed ",
            { TypeKind: TypeKind.Struct } => $"{(type.IsReadOnly ? "readonly " : "")}{(type.IsRefLikeType ? "ref " : "")}",
            _ => "",
        };
        string kind = (type.IsRecord ? "record " : "") + type.TypeKind.ToString().ToLowerInvariant();
        IEnumerable<ITypeSymbol> bases = type is { TypeKind: TypeKind.Class, BaseType: { SpecialType: not SpecialType.System_Object } parent } ? [parent]
            : type is { TypeKind: TypeKind.Enum, EnumUnderlyingType: { SpecialType: not SpecialType.System_Int32 } underlying } ? [underlying]
            : [];
        string[] names = [.. bases.Select(Use), .. type.Interfaces.Where(IsVisible).Select(Use).Order(StringComparer.Ordinal)];
        string list = names.Length > 0 ? " : " + string.Join(", ", names) : "";
        return $"{Attributes(type)}{modifiers}{kind} {type.ToDisplayString(TypeNames)}{list}";

        static string Use(ITypeSymbol symbol) => symbol.ToDisplayString(TypeUses);
    }

    private static IEnumerable<string> MembersOf(INamedTypeSymbol type) =>
        type.TypeKind == TypeKind.Delegate ? []
        : type.TypeKind == TypeKind.Enum
            ? type.GetMembers().OfType<IFieldSymbol>().Where(field => field.HasConstantValue)
                .OrderBy(field => Convert.ToDecimal(field.ConstantValue, null)).Select(field => $"{field.Name} = {field.ConstantValue}")
        : type.GetMembers()
            .Where(member => member is not INamedTypeSymbol && IsVisible(member))
            .Where(member => member is not IMethodSymbol { MethodKind: MethodKind.PropertyGet or MethodKind.PropertySet or MethodKind.EventAdd or MethodKind.EventRemove or MethodKind.StaticConstructor })
            .Select(member => (member.Name, Text: Attributes(member) + (member.DeclaredAccessibility == Accessibility.Public ? "" : "protected ") + member.ToDisplayString(Members)))
            .OrderBy(member => member.Name, StringComparer.Ordinal).ThenBy(member => member.Text, StringComparer.Ordinal)
            .Select(member => member.Text);

    // The attributes that change what a user may do.
    private static string Attributes(ISymbol symbol) => string.Concat(
        symbol.GetAttributes().Select(attribute => attribute.AttributeClass?.Name)
            .Where(name => name is "ObsoleteAttribute" or "FlagsAttribute" or "ExperimentalAttribute")
            .Order(StringComparer.Ordinal)
            .Select(name => $"[{name![..^"Attribute".Length]}] "));
}
