using System;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Text;

namespace Resilience.Degrade.Generators;

/// <summary>What came of one interface: a file, or a problem. Compared by content, and holds no symbols.</summary>
internal sealed class GeneratedFeature : IEquatable<GeneratedFeature>
{
    public GeneratedFeature(string fileName, string source)
    {
        FileName = fileName;
        Source = source;
    }

    public GeneratedFeature(FeatureProblem problem)
        : this("", "")
    {
        Problem = problem;
    }

    public string FileName { get; }

    public string Source { get; }

    public FeatureProblem? Problem { get; }

    public bool Equals(GeneratedFeature? other) =>
        other is not null && FileName == other.FileName && Source == other.Source && Equals(Problem, other.Problem);

    public override bool Equals(object? obj) => Equals(obj as GeneratedFeature);

    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Source) ^ (Problem?.GetHashCode() ?? 0);
}

/// <summary>Something that cannot be generated, and where.</summary>
internal sealed class FeatureProblem : IEquatable<FeatureProblem>
{
    private readonly string _path;
    private readonly TextSpan _span;
    private readonly LinePositionSpan _lines;

    private FeatureProblem(string id, string name, string path, TextSpan span, LinePositionSpan lines)
    {
        Id = id;
        Name = name;
        _path = path;
        _span = span;
        _lines = lines;
    }

    public string Id { get; }

    public string Name { get; }

    public static FeatureProblem Of(DiagnosticDescriptor rule, ISymbol symbol)
    {
        Location? location = symbol.Locations.FirstOrDefault();
        return new FeatureProblem(rule.Id, symbol.Name, location?.SourceTree?.FilePath ?? "", location?.SourceSpan ?? default, location?.GetLineSpan().Span ?? default);
    }

    public Location Location() => Microsoft.CodeAnalysis.Location.Create(_path, _span, _lines);

    public bool Equals(FeatureProblem? other) => other is not null && Id == other.Id && Name == other.Name && _path == other._path && _span == other._span;

    public override bool Equals(object? obj) => Equals(obj as FeatureProblem);

    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Id + Name) ^ _span.GetHashCode();
}
