using Resilience.Caching.Invalidation;

namespace Resilience.Caching.Tests.Invalidation;

public sealed class TagTableTests
{
    /// <summary>Whoever was asked for since the last trim is spared, be it only once, when it was made.</summary>
    [Fact]
    public void Trim_TagsAskedForOnceSinceTheLast_AreSparedBeforeThoseThatNobodyAskedFor()
    {
        var table = new TagTable(64, new InvalidationCount());
        string[] old = [.. Enumerable.Range(0, 65).Select(static i => $"old{i}")];
        foreach (string tag in old)
        {
            table.Get(tag);
        }

        // The 65th has made room: from here on nobody of these is spared who is not asked for again.
        string[] known = [.. old.Where(tag => table.Find(tag) is not null)];
        Assert.Equal(56, known.Length);
        foreach (string tag in known[9..])
        {
            table.Get(tag);
        }

        string[] fresh = [.. Enumerable.Range(0, 9).Select(static i => $"fresh{i}")];
        foreach (string tag in fresh)
        {
            table.Get(tag);
        }

        Assert.Equal(56, table.Count);
        Assert.All(fresh, tag => Assert.NotNull(table.Find(tag)));
        Assert.Equal(known[9..], known.Where(tag => table.Find(tag) is not null));
    }
}
