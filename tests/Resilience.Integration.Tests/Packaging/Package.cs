using System.IO.Compression;
using System.Xml.Linq;

namespace Resilience.Integration.Tests.Packaging;

/// <summary>What is inside a .nupkg and the .snupkg beside it.</summary>
internal sealed class Package
{
    private readonly Dictionary<string, byte[]> _files;

    private Package(Dictionary<string, byte[]> files, Dictionary<string, byte[]> symbols, XElement metadata)
    {
        _files = files;
        Symbols = symbols;
        Metadata = metadata;
    }

    /// <summary>The files of the symbol package, by path.</summary>
    public IReadOnlyDictionary<string, byte[]> Symbols { get; }

    /// <summary>The nuspec's metadata element.</summary>
    public XElement Metadata { get; }

    /// <summary>The files of the package, by path.</summary>
    public IReadOnlyDictionary<string, byte[]> Files => _files;

    /// <summary>The packages that it depends on.</summary>
    public IReadOnlyList<string> Dependencies =>
        [.. Metadata.Descendants(Metadata.Name.Namespace + "dependency").Select(dependency => dependency.Attribute("id")!.Value)];

    /// <summary>The shared frameworks that it depends on.</summary>
    public IReadOnlyList<string> Frameworks =>
        [.. Metadata.Descendants(Metadata.Name.Namespace + "frameworkReference").Select(framework => framework.Attribute("name")!.Value)];

    public static Package Open(string path)
    {
        Dictionary<string, byte[]> files = Unzip(path);
        string nuspec = files.Keys.Single(name => name.EndsWith(".nuspec", StringComparison.Ordinal));
        using var stream = new MemoryStream(files[nuspec]);
        XElement root = XDocument.Load(stream).Root!;
        return new Package(files, Unzip(Path.ChangeExtension(path, ".snupkg")), root.Element(root.Name.Namespace + "metadata")!);
    }

    /// <summary>The text of one element of the metadata, or an empty one.</summary>
    public string Value(string element) => Metadata.Element(Metadata.Name.Namespace + element)?.Value ?? "";

    private static Dictionary<string, byte[]> Unzip(string path)
    {
        using ZipArchive archive = ZipFile.OpenRead(path);
        var files = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (ZipArchiveEntry entry in archive.Entries)
        {
            using Stream stream = entry.Open();
            using var copy = new MemoryStream();
            stream.CopyTo(copy);
            files[entry.FullName] = copy.ToArray();
        }

        return files;
    }
}
