using FsCheck;
using FsCheck.Fluent;
using Resilience.Caching.Backplane;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Tests.Backplane;

public sealed class SequenceTrackerTests
{
    [Fact]
    public void Take_AnyOrderWithoutALoss_NeverReportsOne() => Prop.ForAll<int>(seed =>
    {
        var tracker = new SequenceTracker();
        tracker.Take(100, 0);
        long[] numbers = [.. Enumerable.Range(101, 200).Select(n => (long)n)];
        new Random(seed).Shuffle(numbers);
        return numbers.All(number => tracker.Take(number, 0)) && tracker.Check(1_000, 1) && tracker.Last == 300;
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Check_OneMissing_IsReportedOnceItsTimeIsUp()
    {
        var tracker = new SequenceTracker();
        tracker.Take(1, 0);
        Assert.True(tracker.Take(3, 10));
        Assert.True(tracker.Check(109, 100));
        Assert.False(tracker.Check(110, 100));
        Assert.True(tracker.Take(4, 120));
        Assert.True(tracker.Check(500, 100));
    }

    [Fact]
    public void Codec_AnyChanges_AreReadBackAndAnyTruncationIsNot()
    {
        Change[] changes = [new(ChangeKind.Key, "key", 5, default), new(ChangeKind.Tag, "tag", 9, new TagVersion(9, 8)), new(ChangeKind.Lost, "", 0, default)];
        byte[] body = ChangeCodec.Write(77, changes);
        Assert.True(ChangeCodec.TryRead(body, out long sender, out Change[] read));
        Assert.Equal(77, sender);
        Assert.Equal(["key", "tag", ""], read.Select(change => change.Name));
        Assert.Equal(new TagVersion(9, 8), read[1].Tag);
        for (int length = 0; length < body.Length; length++)
        {
            Assert.False(ChangeCodec.TryRead(body.AsSpan(0, length), out _, out _));
        }
    }

    /// <summary>Such a version, once believed, would be the floor of all that follow: no tier could count on from there.</summary>
    [Theory]
    [InlineData(0, 0)]
    [InlineData(-5, -5)]
    [InlineData(5, 6)]
    [InlineData(5, -1)]
    [InlineData(4_000_000_000_000_000, 1)]
    [InlineData(long.MaxValue, long.MaxValue)]
    public void Codec_VersionThatNoTagCanHave_IsNotRead(long latest, long removed) =>
        Assert.False(ChangeCodec.TryRead(ChangeCodec.Write(77, [new Change(ChangeKind.Tag, "tag", 0, new TagVersion(latest, removed))]), out _, out _));
}
