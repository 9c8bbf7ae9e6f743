using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Caching.Tests.Local.S3Fifo;

public sealed class GhostTableTests
{
    [Fact]
    public void Add_WhateverPasses_StaysBounded()
    {
        var ghost = new GhostTable(1_000, 1_000);
        for (int i = 0; i < 1_000_000; i++)
        {
            ghost.Add(i, 1);
        }

        Assert.InRange(ghost.Capacity, 1_000, 8_000);
        Assert.False(ghost.Take(0));
        int remembered = Enumerable.Range(999_000, 1_000).Count(ghost.Take);
        Assert.InRange(remembered, 990, 1_000); // a full bucket forgets its oldest
    }

    [Fact]
    public void Add_Large_TakesMemoryPieceByPiece()
    {
        var ghost = new GhostTable(10_000_000, 10_000_000);
        Assert.Equal(0, ghost.Bytes);
        Assert.False(ghost.Take(1));
        ghost.Add(1, 1);
        Assert.True(ghost.Take(1));
        Assert.Equal(32 << 10, ghost.Bytes);
    }

    [Fact]
    public void EnsureCapacity_Growing_KeepsWhatItKnew()
    {
        var ghost = new GhostTable(1_000, 31);
        ghost.Add(1, 1);
        ghost.EnsureCapacity(10_000);
        ghost.Add(2, 1);
        Assert.True(ghost.Take(1));
        Assert.False(ghost.Take(1));
        Assert.True(ghost.Take(2));
    }
}
