namespace Resilience.Pools.Tests.Core;

/// <summary>The state machine of one place of the pool: one word, and who may change it from what to what.</summary>
public sealed class PoolEntryTests
{
    private static readonly EntryState[] States = Enum.GetValues<EntryState>();

    public static TheoryData<int, bool, bool, long> Words()
    {
        var words = new TheoryData<int, bool, bool, long>();
        foreach (EntryState state in States)
        {
            foreach (bool isListed in new[] { false, true })
            {
                foreach (bool isInvalid in new[] { false, true })
                {
                    words.Add((int)state, isListed, isInvalid, 0);
                    words.Add((int)state, isListed, isInvalid, 7 * EntryWord.VersionUnit);
                    words.Add((int)state, isListed, isInvalid, ((1L << 54) - 1) * EntryWord.VersionUnit);
                }
            }
        }

        return words;
    }

    [Theory]
    [MemberData(nameof(Words))]
    public void Word_TakenApart_IsWhatItWasMadeOf(int state, bool isListed, bool isInvalid, long version)
    {
        long word = Word((EntryState)state, isListed, isInvalid, version);
        Assert.Equal((EntryState)state, EntryWord.State(word));
        Assert.Equal(version, EntryWord.Version(word));
        Assert.Equal((EntryState)state == EntryState.Leased, EntryWord.IsLeased(word, version));
        Assert.False(EntryWord.IsLeased(word, version ^ EntryWord.VersionUnit));
    }

    [Theory]
    [MemberData(nameof(Words))]
    public void Move_FromTheStateThatItHas_KeepsListedDropsInvalidAndCountsOnlyWhenAsked(int state, bool isListed, bool isInvalid, long version)
    {
        foreach (bool bump in new[] { false, true })
        {
            PoolEntry<Resource> entry = At(Word((EntryState)state, isListed, isInvalid, version));
            long expected = version + (bump ? EntryWord.VersionUnit : 0);
            Assert.Equal(expected, entry.Move((EntryState)state, EntryState.Reserved, bump));
            Assert.Equal(Word(EntryState.Reserved, isListed, isInvalid: false, expected), entry.ReadWord());
        }
    }

    [Theory]
    [MemberData(nameof(Words))]
    public void MoveToIdle_FromTheStateThatItHas_IsListedAndSaysWhoHasToLinkIt(int state, bool isListed, bool isInvalid, long version)
    {
        PoolEntry<Resource> entry = At(Word((EntryState)state, isListed, isInvalid, version));
        Assert.Equal(!isListed, entry.MoveToIdle((EntryState)state)); // linked once, and by one
        Assert.Equal(Word(EntryState.Idle, isListed: true, isInvalid: false, version), entry.ReadWord());
    }

    [Theory]
    [MemberData(nameof(Words))]
    public void TryEndLease_OnlyALivingLeaseOfThatVersion_Ends(int state, bool isListed, bool isInvalid, long version)
    {
        long word = Word((EntryState)state, isListed, isInvalid, version);
        PoolEntry<Resource> entry = At(word);
        Assert.False(entry.TryEndLease(version ^ EntryWord.VersionUnit, EntryState.Reserved, out bool wasInvalid));
        Assert.False(wasInvalid);
        Assert.Equal(word, entry.ReadWord());

        bool isLeased = (EntryState)state == EntryState.Leased;
        Assert.Equal(isLeased, entry.TryEndLease(version, EntryState.Reserved, out wasInvalid));
        Assert.Equal(isLeased && isInvalid, wasInvalid);
        Assert.Equal(isLeased ? Word(EntryState.Reserved, isListed, isInvalid: false, version + EntryWord.VersionUnit) : word, entry.ReadWord());
        Assert.False(entry.TryEndLease(version, EntryState.Reserved, out _)); // a lease ends once
    }

    [Theory]
    [MemberData(nameof(Words))]
    public void MarkInvalid_OnlyALivingLeaseOfThatVersion_IsMarkedAndNothingElseChanges(int state, bool isListed, bool isInvalid, long version)
    {
        long word = Word((EntryState)state, isListed, isInvalid, version);
        PoolEntry<Resource> entry = At(word);
        Assert.False(entry.MarkInvalid(version ^ EntryWord.VersionUnit));
        Assert.Equal(word, entry.ReadWord());
        bool isLeased = (EntryState)state == EntryState.Leased;
        Assert.Equal(isLeased, entry.MarkInvalid(version));
        Assert.Equal(isLeased ? word | EntryWord.Invalid : word, entry.ReadWord());
    }

    [Fact]
    public void TrySwap_WordThatHasChanged_ChangesNothing()
    {
        PoolEntry<Resource> entry = At(5);
        Assert.False(entry.TrySwap(4, 6));
        Assert.Equal(5, entry.ReadWord());
        Assert.True(entry.TrySwap(5, 6));
        Assert.Equal(6, entry.ReadWord());
    }

    [Fact]
    public async Task Move_FromAStateThatItDoesNotHave_SaysThatThePlaceHadTwoOwners()
    {
        await using var pool = new ResourcePool<Resource>("orders", new Factory(), new PoolOptions());
        long word = Word(EntryState.Leased, isListed: true, isInvalid: false, version: 0);
        PoolEntry<Resource> entry = At(word, pool);
        foreach (Action move in new Action[] { () => entry.Move(EntryState.Reserved, EntryState.Closing), () => entry.MoveToIdle(EntryState.Reserved) })
        {
            string message = Assert.Throws<InvalidOperationException>(move).Message;
            Assert.Contains("Place 3 of pool 'orders' is Leased and should be Reserved", message, StringComparison.Ordinal);
            Assert.Equal(word, entry.ReadWord());
        }
    }

    private static long Word(EntryState state, bool isListed, bool isInvalid, long version) =>
        version | (isListed ? EntryWord.Listed : 0) | (isInvalid ? EntryWord.Invalid : 0) | (long)state;

    private static PoolEntry<Resource> At(long word, ResourcePool<Resource>? pool = null)
    {
        var entry = new PoolEntry<Resource>(pool!, index: 3);
        Assert.True(entry.TrySwap(0, word));
        return entry;
    }
}
