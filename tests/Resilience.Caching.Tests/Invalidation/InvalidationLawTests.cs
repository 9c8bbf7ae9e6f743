using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Tests.Invalidation;

/// <summary>What the node's own count decides: younger than every invalidation, or not.</summary>
public sealed class InvalidationLawTests
{
    private readonly Invalidations _invalidations = new(maxTags: 10);

    [Theory]
    [InlineData(false, true)]
    [InlineData(false, false)]
    [InlineData(true, true)]
    [InlineData(true, false)]
    public void Judge_MadeBeforeAnInvalidationOrAfterIt_IsHeldAgainstItOrNot(bool ofNamespace, bool isRemoval)
    {
        TagState tag = _invalidations.Tags.Get("tag");
        TagState other = _invalidations.Tags.Get("other");
        TagState hit = ofNamespace ? _invalidations.Namespace : tag;
        LocalEntry before = Entry(tag, other);
        LocalEntry ofOther = Entry(other);
        long start = _invalidations.Count.Current;
        AssertStands(before, start, Standing.Good);

        hit.Invalidate(_invalidations.Count.Next(), isRemoval);
        AssertStands(before, start, isRemoval ? Standing.Gone : Standing.Expired);
        AssertStands(Entry(tag, other), _invalidations.Count.Current, Standing.Good);
        AssertStands(ofOther, start, ofNamespace ? (isRemoval ? Standing.Gone : Standing.Expired) : Standing.Good, other);
    }

    [Fact]
    public void Judge_ExpiredByOneTagAndRemovedByAnother_IsGoneWhicheverStandsFirst()
    {
        TagState expired = _invalidations.Tags.Get("expired");
        TagState removed = _invalidations.Tags.Get("removed");
        LocalEntry entry = Entry(expired, removed);
        LocalEntry turned = Entry(removed, expired);
        removed.Invalidate(_invalidations.Count.Next(), isRemoval: true);
        expired.Invalidate(_invalidations.Count.Next(), isRemoval: false);
        Assert.Equal(Standing.Gone, _invalidations.Judge(entry));
        Assert.Equal(Standing.Gone, _invalidations.Judge(turned));
    }

    [Fact]
    public void Invalidate_AnOlderNumberThatComesLate_TakesNothingBack()
    {
        var tag = new TagState("tag");
        tag.Invalidate(7, isRemoval: true);
        tag.Invalidate(5, isRemoval: true);
        Assert.Equal(7, tag.InvalidatedAt);
        Assert.Equal(7, tag.RemovedAt);
        tag.Invalidate(9, isRemoval: false);
        Assert.Equal(9, tag.InvalidatedAt);
        Assert.Equal(7, tag.RemovedAt);
    }

    [Fact]
    public void Distrust_EverythingMadeBefore_IsSuspectUntilItIsProvedAndWhatCameAfterIsNot()
    {
        TagState tag = _invalidations.Tags.Get("tag");
        foreach (TagState known in new[] { tag, _invalidations.Namespace })
        {
            known.Learn(new TagVersion(1, 0), knownUntil: 1_000, distrusts: 0, _invalidations.Count, now: 0);
        }

        LocalEntry entry = Entry(tag);
        long start = _invalidations.Count.Current;
        _invalidations.Distrust();
        AssertStands(entry, start, Standing.Suspect, tag);
        AssertStands(Entry(tag), _invalidations.Count.Current, Standing.Good, tag);
        Assert.False(tag.IsKnown(0));
        Assert.False(_invalidations.Namespace.IsKnown(0));

        entry.Stamp = _invalidations.Count.Current; // compared with the shared tier, and right
        Assert.Equal(Standing.Good, _invalidations.Judge(entry));
    }

    [Fact]
    public void Distrust_OfWhatWasExpired_LeavesItExpired()
    {
        TagState tag = _invalidations.Tags.Get("tag");
        LocalEntry entry = Entry(tag);
        tag.Invalidate(_invalidations.Count.Next(), isRemoval: false);
        _invalidations.Distrust();
        Assert.Equal(Standing.Expired, _invalidations.Judge(entry));
    }

    [Fact]
    public void Resolve_NamesToStates_OneEachInOrderAndNothingForNone()
    {
        Assert.Null(_invalidations.Resolve(null));
        Assert.Null(_invalidations.Resolve([]));
        TagState[] states = _invalidations.Resolve(["b", "a", "b"])!;
        Assert.Equal(["b", "a", "b"], states.Select(state => state.Name));
        Assert.Same(states[0], states[2]);
        Assert.Same(states[0], _invalidations.Tags.Get("b"));
    }

    [Fact]
    public void Learn_FirstVersion_InvalidatesOnlyWhatWasMadeWithoutKnowingIt()
    {
        InvalidationCount count = _invalidations.Count;
        var seen = new TagState("seen");
        seen.Learn(new TagVersion(4, 2), knownUntil: 100, distrusts: 0, count, now: 7);
        Assert.Equal(new TagVersion(4, 2), seen.Known);
        Assert.Equal(7, seen.FirstKnownAt);
        Assert.Equal(0, seen.InvalidatedAt);
        Assert.Equal(0, count.Current);

        var blind = new TagState("blind");
        Assert.Equal(long.MaxValue, blind.FirstKnownAt);
        blind.NoteBlindUse();
        blind.Learn(new TagVersion(4, 2), knownUntil: 100, distrusts: 0, count, now: 7);
        Assert.Equal(1, blind.InvalidatedAt);
        Assert.Equal(1, blind.RemovedAt); // it cannot be told whether the removal was before or after the use
    }

    [Fact]
    public void Learn_NewsOfAVersion_IsAnInvalidationOfItsKindAndOldNewsIsNone()
    {
        InvalidationCount count = _invalidations.Count;
        var tag = new TagState("tag");
        tag.Learn(new TagVersion(4, 2), knownUntil: 100, distrusts: 0, count, now: 7);
        tag.Learn(new TagVersion(4, 2), knownUntil: 100, distrusts: 0, count, now: 8);
        tag.Learn(new TagVersion(3, 1), knownUntil: 100, distrusts: 0, count, now: 8);
        Assert.Equal((0L, 0L, 0L), (count.Current, tag.InvalidatedAt, tag.RemovedAt));

        tag.Learn(new TagVersion(5, 2), knownUntil: 100, distrusts: 0, count, now: 9);
        Assert.Equal((1L, 1L, 0L), (count.Current, tag.InvalidatedAt, tag.RemovedAt));
        tag.Learn(new TagVersion(6, 6), knownUntil: 100, distrusts: 0, count, now: 10);
        Assert.Equal((2L, 2L, 2L), (count.Current, tag.InvalidatedAt, tag.RemovedAt));
        tag.Learn(new TagVersion(1, 7), knownUntil: 100, distrusts: 0, count, now: 10); // part by part the higher
        Assert.Equal(new TagVersion(6, 7), tag.Known);
        Assert.Equal(3, tag.RemovedAt);
        Assert.Equal(7, tag.FirstKnownAt);
    }

    /// <summary>It may have been read before it is heard of: it is an invalidation of its kind all the same.</summary>
    [Theory]
    [InlineData(5, 2, 1, 0)]
    [InlineData(5, 5, 1, 1)]
    public void Hear_AVersionThatWasReadBefore_IsAnInvalidationOfItsKind(long latest, long removed, long invalidatedAt, long removedAt)
    {
        var tag = new TagState("tag");
        tag.Learn(new TagVersion(latest, removed), knownUntil: 100, distrusts: 0, _invalidations.Count, now: 7);
        Assert.Equal((0L, 0L), (tag.InvalidatedAt, tag.RemovedAt));
        tag.Hear(new TagVersion(latest, removed), _invalidations.Count, now: 8);
        Assert.Equal((invalidatedAt, removedAt), (tag.InvalidatedAt, tag.RemovedAt));
    }

    [Fact]
    public void Hear_ARemovalThatAnExpiryHasFollowed_IsARemoval()
    {
        var tag = new TagState("tag");
        tag.Learn(new TagVersion(4, 2), knownUntil: 100, distrusts: 0, _invalidations.Count, now: 7);
        tag.Hear(new TagVersion(6, 5), _invalidations.Count, now: 8);
        Assert.Equal((1L, 1L), (tag.InvalidatedAt, tag.RemovedAt));
    }

    [Fact]
    public void Learn_WhatWasReadBeforeADistrust_IsNotToBeUsed()
    {
        var tag = new TagState("tag");
        long distrusts = tag.Distrusts;
        Assert.True(tag.Learn(new TagVersion(4, 2), knownUntil: 100, distrusts, _invalidations.Count, now: 7));
        tag.Distrust();
        Assert.False(tag.Learn(new TagVersion(5, 2), knownUntil: 100, distrusts, _invalidations.Count, now: 8));
        Assert.False(tag.IsKnown(8));
        Assert.True(tag.Learn(new TagVersion(5, 2), knownUntil: 100, tag.Distrusts, _invalidations.Count, now: 9));
        Assert.True(tag.IsKnown(9));
    }

    [Fact]
    public void IsKnown_UntilWhatWasSaidAndNotFromThereOn()
    {
        var tag = new TagState("tag");
        Assert.False(tag.IsKnown(0));
        tag.Learn(new TagVersion(1, 0), knownUntil: 100, distrusts: 0, _invalidations.Count, now: 0);
        Assert.True(tag.IsKnown(99));
        Assert.False(tag.IsKnown(100));
        tag.Hear(new TagVersion(2, 0), _invalidations.Count, now: 50); // which says nothing of how long
        Assert.True(tag.IsKnown(99));
        tag.Distrust();
        Assert.False(tag.IsKnown(99));
    }

    [Fact]
    public void IsRaisePending_WhileAnyRaiseIsUnderWayOrOneWasMissed()
    {
        var tag = new TagState("tag");
        Assert.False(tag.IsRaisePending);
        tag.BeginRaise();
        tag.BeginRaise();
        tag.EndRaise();
        Assert.True(tag.IsRaisePending);
        tag.IsMissed = true;
        tag.EndRaise();
        Assert.True(tag.IsRaisePending);
        tag.IsMissed = false;
        Assert.False(tag.IsRaisePending);
    }

    [Fact]
    public void Retire_WhoHoldsTheState_SeesEverythingGoneForEver()
    {
        var tag = new TagState("tag");
        LocalEntry entry = Entry(tag);
        entry.Stamp = long.MaxValue - 1;
        tag.Retire();
        Assert.Equal(Standing.Gone, _invalidations.Judge(entry));
        Assert.False(_invalidations.IsCurrent(long.MaxValue - 1, [tag]));
    }

    private SharedEntry<string> Entry(params TagState[] tags) => new("value") { Stamp = _invalidations.Count.Current, Tags = tags.Length == 0 ? null : tags };

    /// <summary>All ways to ask say the same of an entry and of a load that began when it was made.</summary>
    private void AssertStands(LocalEntry entry, long start, Standing expected, params TagState[] tags)
    {
        Assert.Equal(expected, _invalidations.Judge(entry));
        Assert.Equal(expected == Standing.Good, _invalidations.IsGood(entry));
        Assert.Equal(expected == Standing.Good, _invalidations.IsCurrent(start, tags.Length == 0 ? entry.Tags : tags));
        LocalEntry untagged = Entry();
        untagged.Stamp = start;
        bool ofAll = start < _invalidations.Namespace.InvalidatedAt || expected == Standing.Suspect;
        Assert.Equal(!ofAll, _invalidations.IsGood(untagged));
        Assert.Equal(!ofAll, _invalidations.IsCurrent(start, null));
    }
}
