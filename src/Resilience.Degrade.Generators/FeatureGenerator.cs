using System.Collections.Immutable;
using System.Linq;
using System.Text;
using System.Threading;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Text;

namespace Resilience.Degrade.Generators;

/// <summary>Generates a decorator for each interface that is marked with <c>[Feature]</c>.</summary>
[Generator(LanguageNames.CSharp)]
public sealed class FeatureGenerator : IIncrementalGenerator
{
    private const string Attribute = "Resilience.Degrade.FeatureAttribute";

    /// <inheritdoc/>
    public void Initialize(IncrementalGeneratorInitializationContext context)
    {
        // What flows on are texts, so that nothing is generated anew when an edit elsewhere leaves them equal.
        IncrementalValuesProvider<GeneratedFeature> features = context.SyntaxProvider.ForAttributeWithMetadataName(
            Attribute,
            static (node, _) => node is InterfaceDeclarationSyntax,
            static (attributed, ct) => Generate(attributed, ct));
        context.RegisterSourceOutput(features, static (output, feature) =>
        {
            if (feature.Problem is { } problem)
            {
                output.ReportDiagnostic(Diagnostic.Create(FeatureDiagnostics.ById(problem.Id), problem.Location(), problem.Name));
            }
            else
            {
                output.AddSource(feature.FileName, SourceText.From(feature.Source, Encoding.UTF8));
            }
        });
    }

    private static GeneratedFeature Generate(GeneratorAttributeSyntaxContext attributed, CancellationToken cancellationToken)
    {
        var type = (INamedTypeSymbol)attributed.TargetSymbol;
        cancellationToken.ThrowIfCancellationRequested();
        if (type.ContainingType is not null || type.IsGenericType)
        {
            return new GeneratedFeature(FeatureProblem.Of(FeatureDiagnostics.NotTopLevel, type));
        }

        AttributeData attribute = attributed.Attributes[0];
        bool securityCritical = attribute.NamedArguments.FirstOrDefault(argument => argument.Key == "SecurityCritical").Value.Value is true;
        ImmutableArray<ISymbol> members = [.. type.AllInterfaces.Prepend(type).SelectMany(part => part.GetMembers()).Where(FeatureDecorator.IsImplemented)];
        foreach (ISymbol member in members)
        {
            if (FeatureDecorator.ProblemOf(member, securityCritical) is { } rule)
            {
                return new GeneratedFeature(FeatureProblem.Of(rule, member));
            }
        }

        // A name that is a keyword is displayed with an '@', which no file's name may have.
        string fileName = $"{(type.ContainingNamespace.IsGlobalNamespace ? "" : type.ContainingNamespace.ToDisplayString() + ".")}{type.Name}.Feature.g.cs".Replace("@", "");
        return new GeneratedFeature(fileName, FeatureDecorator.Write(type, attribute, members));
    }
}
