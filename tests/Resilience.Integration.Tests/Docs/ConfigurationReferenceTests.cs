namespace Resilience.Integration.Tests.Docs;

public sealed class ConfigurationReferenceTests
{
    [Fact]
    public void Reference_SettingsTypes_SayTheSame()
    {
        string path = Path.Combine(Repository.Root, "docs", "configuration.md");
        string page = File.ReadAllText(path).ReplaceLineEndings("\n");
        int marker = page.IndexOf(ConfigurationReference.Marker, StringComparison.Ordinal);
        Assert.True(marker >= 0, $"docs/configuration.md has lost its marker: {ConfigurationReference.Marker}");
        string expected = page[..(marker + ConfigurationReference.Marker.Length)] + "\n" + ConfigurationReference.Generate();
        if (Environment.GetEnvironmentVariable("UPDATE_DOCS") == "1")
        {
            File.WriteAllText(path, expected);
            return;
        }

        Assert.True(expected == page, "docs/configuration.md says something else than the settings types. Run UPDATE_DOCS=1 ./eng/test.sh and look at the difference.");
    }
}
