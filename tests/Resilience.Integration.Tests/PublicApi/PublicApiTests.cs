namespace Resilience.Integration.Tests.PublicApi;

public sealed class PublicApiTests
{
    private const string UpdateVariable = "UPDATE_PUBLIC_API";

    private static readonly string[] Platform = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator);

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public void Listing_Package_IsWhatIsWrittenDown(string package)
    {
        string path = Path.Combine(Repository.Root, "src", package, "PublicAPI.txt");
        string actual = PublicApiListing.Write(Projects.Assembly(package), Platform);
        if (Environment.GetEnvironmentVariable(UpdateVariable) is "1" or "true")
        {
            File.WriteAllText(path, actual);
        }

        string written = File.Exists(path) ? File.ReadAllText(path).ReplaceLineEndings("\n") : "";

        string[] actualLines = actual.Split('\n'), writtenLines = written.Split('\n');
        string[] changes = [.. writtenLines.Except(actualLines).Select(line => "- " + line.Trim()), .. actualLines.Except(writtenLines).Select(line => "+ " + line.Trim())];
        Assert.True(
            actual == written,
            $"The public API of {package} has changed. If that is meant, write it down with {UpdateVariable}=1 ./eng/test.sh (TEST_FILTER=FullyQualifiedName~PublicApi makes it quick) and commit src/{package}/PublicAPI.txt.\n{string.Join('\n', changes)}");
    }
}
