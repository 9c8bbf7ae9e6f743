namespace Resilience.Pools.Tests.Core;

/// <summary>The state machine of one place of the pool: one word, and who may change it from what to what.</summary>
public sealed class PoolEntryTests
{
    [Fact]
    public void Word_TakenApart_IsWhatItWasMadeOf() => ForEachWord((word, state, _, _, version) =>
    {
        Assert.Equal(state, EntryWord.State(word));
        Assert.Equal(version, EntryWord.Version(word));
        Assert.Equal(state == EntryState.Leased, EntryWord.IsLeased(word, version));
        Assert.False(EntryWord.IsLeased(word, version ^ EntryWord.VersionUnit));
    });

    [Fact]
    public void Move_FromTheStateThatItHas_KeepsListedDropsInvalidAndCountsOnlyWhenAsked() => ForEachWord((word, state, isListed, _, version) =>
    {
        foreach (bool bump in new[] { false, true })
        {
            PoolEntry<Resource> entry = At(word);
            long expected = version + (bump ? EntryWord.VersionUnit : 0);
            Assert.Equal(expected, entry.Move(state, EntryState.Reserved, bump));
            Assert.Equal(Word(EntryState.Reserved, isListed, isInvalid: false, expected), entry.ReadWord());
        }
    });

    [Fact]
    public void MoveToIdle_FromTheStateThatItHas_IsListedAndSaysWhoHasToLinkIt() => ForEachWord((word, state, isListed, _, version) =>
    {
        PoolEntry<Resource> entry = At(word);
        Assert.Equal(!isListed, entry.MoveToIdle(state)); // linked once, and by one
        Assert.Equal(Word(EntryState.Idle, isListed: true, isInvalid: false, version), entry.ReadWord());
    });

    [Fact]
    public void TryEndLease_OnlyALivingLeaseOfThatVersion_Ends() => ForEachWord((word, state, isListed, isInvalid, version) =>
    {
        PoolEntry<Resource> entry = At(word);
        Assert.False(entry.TryEndLease(version ^ EntryWord.VersionUnit, EntryState.Reserved, out bool wasInvalid));
        Assert.False(wasInvalid);
        Assert.Equal(word, entry.ReadWord());

        bool isLeased = state == EntryState.Leased;
        Assert.Equal(isLeased, entry.TryEndLease(version, EntryState.Reserved, out wasInvalid));
        Assert.Equal(isLeased && isInvalid, wasInvalid);
        Assert.Equal(isLeased ? Word(EntryState.Reserved, isListed, isInvalid: false, version + EntryWord.VersionUnit) : word, entry.ReadWord());
        Assert.False(entry.TryEndLease(version, EntryState.Reserved, out _)); // a lease ends once
    });

    [Fact]
    public void MarkInvalid_OnlyALivingLeaseOfThatVersion_IsMarkedAndNothingElseChanges() => ForEachWord((word, state, _, _, version) =>
    {
        PoolEntry<Resource> entry = At(word);
        Assert.False(entry.MarkInvalid(version ^ EntryWord.VersionUnit));
        Assert.Equal(word, entry.ReadWord());
        bool isLeased = state == EntryState.Leased;
        Assert.Equal(isLeased, entry.MarkInvalid(version));
        Assert.Equal(isLeased ? word | EntryWord.Invalid : word, entry.ReadWord());
    });

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

    /// <summary>Every state, listed and invalid or not, with the first version, a later one and the last that fits.</summary>
    private static void ForEachWord(Action<long, EntryState, bool, bool, long> law)
    {
        bool[] either = [false, true];
        foreach (EntryState state in Enum.GetValues<EntryState>())
        {
            foreach ((bool isListed, bool isInvalid) in either.SelectMany(first => either.Select(second => (first, second))))
            {
                foreach (long version in new[] { 0, 7 * EntryWord.VersionUnit, ((1L << 54) - 1) * EntryWord.VersionUnit })
                {
                    law(Word(state, isListed, isInvalid, version), state, isListed, isInvalid, version);
                }
            }
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
