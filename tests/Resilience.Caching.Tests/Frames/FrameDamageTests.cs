using System.Buffers;
using FsCheck;
using FsCheck.Fluent;
using Resilience.Caching.Frames;
using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Shared;

namespace Resilience.Caching.Tests.Frames;

/// <summary>Whatever stands in the shared tier: a value of the key, whole, or a counted miss. Never an exception, never another key's value.</summary>
public sealed class FrameDamageTests
{
    [Fact]
    public void Read_AnyKindOfDamage_IsAMissOrTheValueItself()
    {
        FrameHeader header = new() { CreatedAt = 1, FreshFor = 2, UsefulFor = 3, LocalFor = 4, Tags = [new FrameTag("tag", 7)], ETag = "etag" };
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(2_000), Prop.ForAll<byte[], int, int>((payload, seed, kind) =>
        {
            payload ??= [];
            var random = new Random(seed);
            byte[] frame = FrameCodec.Write("key", 42, header, payload, (seed & 1) == 0 ? 1 : int.MaxValue);
            byte[] damaged = Damage(frame, random, kind);
            return !FrameCodec.TryRead("key", damaged, 1 << 20, out Frame read) || read.Payload.Span.SequenceEqual(payload);
        }));
    }

    [Fact]
    public async Task Get_AnyDamageInTheTier_NeverThrowsAndNeverGivesAnotherKeysValue()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache writer = TestCache.New(shared: tier);
        for (int i = 0; i < 8; i++)
        {
            await writer.SetAsync($"key{i}", $"value of key{i}", tags: [$"tag{i}"]);
        }

        byte[][] whole = [.. Enumerable.Range(0, 8).Select(i => tier[$"v1:test:key{i}"]!)];
        var random = new Random(20_260);
        for (int round = 0; round < 400; round++)
        {
            await using ResilientCache reader = TestCache.New(shared: tier);
            int key = random.Next(8);
            tier[$"v1:test:key{key}"] = random.Next(4) == 0 ? whole[random.Next(8)] : Damage(whole[key], random, round);
            string name = $"key{key}";
            string got = round % 2 == 0
                ? await reader.GetAsync(name, "source")
                : (await reader.ManyAsync([name, "other"], keys => keys.Select(one => (one, "source"))))[name];
            Assert.True(got == "source" || got == $"value of {name}", got);
            Assert.Equal(SharedTierState.Closed, reader.Snapshot().SharedState);
            await reader.TryGetAsync<string>(name);
            await reader.TryGetManyAsync<string>([name]);
        }
    }

    [Fact]
    public void Read_SpansNoWriterOfOursWrites_AreAMiss()
    {
        FrameHeader good = new() { CreatedAt = 1, FreshFor = 2, UsefulFor = 3, LocalFor = 4, Tags = [] };
        Assert.True(FrameCodec.TryRead("key", FrameCodec.Write("key", 42, good, [1], int.MaxValue), 1 << 20, out _));
        foreach (FrameHeader bad in (FrameHeader[])[
            good with { FreshFor = long.MaxValue }, good with { UsefulFor = long.MaxValue }, good with { LocalFor = -1 },
            good with { CreatedAt = long.MinValue }, good with { LastModified = long.MaxValue }, good with { LoadCost = -5 }])
        {
            Assert.False(FrameCodec.TryRead("key", FrameCodec.Write("key", 42, bad, [1], int.MaxValue), 1 << 20, out _), bad.ToString());
        }
    }

    [Fact]
    public void Read_PayloadThatWouldUnpackBeyondTheLimit_IsAMissBeforeItIsUnpacked()
    {
        FrameHeader header = new() { CreatedAt = 1, FreshFor = 2, UsefulFor = 3, LocalFor = 4, Tags = [] };
        byte[] bomb = FrameCodec.Write("key", 42, header, new byte[10 << 20], 1);
        Assert.True(bomb.Length < 1_000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.False(FrameCodec.TryRead("key", bomb, 1 << 20, out _));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Fact]
    public void Write_PayloadThatDoesNotShrink_StaysAsItIs()
    {
        byte[] noise = new byte[20_000];
        new Random(5).NextBytes(noise);
        FrameHeader header = new() { CreatedAt = 1, FreshFor = 2, UsefulFor = 3, LocalFor = 4, Tags = [] };
        Assert.True(FrameCodec.TryRead("key", FrameCodec.Write("key", 42, header, noise, 1), 1 << 20, out Frame read));
        Assert.Equal(FrameFlags.None, read.Header.Flags);
        Assert.True(read.Payload.Span.SequenceEqual(noise));
    }

    [Fact]
    public void PooledBuffer_WhateverIsWritten_GivesEachArrayBackOnce() => Prop.ForAll<int[]>(sizes =>
    {
        var pool = new CountingPool();
        var expected = new List<byte>();
        using (var buffer = new PooledBuffer(pool))
        {
            foreach (int size in (sizes ?? []).Select(size => Math.Abs(size % 5_000)))
            {
                byte[] piece = new byte[size];
                Random.Shared.NextBytes(piece);
                piece.CopyTo(buffer.GetSpan(size));
                buffer.Advance(size);
                expected.AddRange(piece);
            }

            Assert.True(buffer.Written.SequenceEqual(expected.ToArray()));
            Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Advance(int.MaxValue));
            buffer.Dispose();
        }

        return pool.Out.Count == 0 && pool.ReturnedTwice == 0;
    }).QuickCheckThrowOnFailure();

    private static byte[] Damage(byte[] frame, Random random, int kind)
    {
        byte[] copy = [.. frame];
        switch (Math.Abs(kind % 6))
        {
            case 0: // bits
                for (int i = random.Next(1, 5); i > 0; i--)
                {
                    copy[random.Next(copy.Length)] ^= (byte)(1 << random.Next(8));
                }

                return copy;
            case 1: // the end is missing
                return copy[..random.Next(copy.Length)];
            case 2: // the start is missing
                return copy[random.Next(1, copy.Length)..];
            case 3: // more than there was
                return [.. copy, .. new byte[random.Next(1, 50)]];
            case 4: // a piece twice
                int at = random.Next(copy.Length);
                return [.. copy[..at], .. copy[(at / 2)..]];
            default: // anything
                random.NextBytes(copy);
                return copy;
        }
    }

    private sealed class CountingPool : ArrayPool<byte>
    {
        public HashSet<byte[]> Out { get; } = [];

        public int ReturnedTwice { get; private set; }

        public override byte[] Rent(int minimumLength)
        {
            byte[] array = new byte[minimumLength];
            Out.Add(array);
            return array;
        }

        public override void Return(byte[] array, bool clearArray = false) => ReturnedTwice += Out.Remove(array) ? 0 : 1;
    }
}
