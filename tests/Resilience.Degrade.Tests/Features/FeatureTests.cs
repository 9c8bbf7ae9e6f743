using Resilience.Context;

namespace Resilience.Degrade.Tests.Features;

public sealed class FeatureTests
{
    [Fact]
    public void Declare_SameNameTwice_GivesTheSameFeature() =>
        Assert.Same(Feature.Declare("feature-same", Priority.Low), Feature.Declare("Feature-Same", Priority.Low));

    [Fact]
    public void Declare_SameNameOtherPriority_NamesBoth()
    {
        Feature.Declare("feature-conflict", Priority.Low);
        var error = Assert.Throws<InvalidOperationException>(() => Feature.Declare("feature-conflict", Priority.Bulk));
        Assert.Contains("Low priority", error.Message, StringComparison.Ordinal);
        Assert.Contains("Bulk priority", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a:b")]
    [InlineData("a b")]
    [InlineData("ä")]
    public void Declare_BadName_Throws(string name) => Assert.Throws<ArgumentException>(() => Feature.Declare(name));

    [Fact]
    public void Declare_FromManyThreads_GivesEachNameOneIndex()
    {
        Parallel.For(0, 2_000, i => Feature.Declare($"feature-race-{i % 100}"));
        Feature[] raced = [.. Feature.All.Where(feature => feature.Name.StartsWith("feature-race-", StringComparison.Ordinal))];
        Assert.Equal(100, raced.Length);
        Assert.All(Feature.All, feature => Assert.Same(feature, Feature.All[feature.Index]));
    }
}
