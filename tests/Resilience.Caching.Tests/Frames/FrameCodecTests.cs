using System.Security.Cryptography;
using FsCheck;
using FsCheck.Fluent;
using Resilience.Caching.Frames;
using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Shared;

namespace Resilience.Caching.Tests.Frames;

public sealed class FrameCodecTests
{
    private static readonly FrameHeader Header = new() { CreatedAt = 1, FreshFor = 2, UsefulFor = 3, LocalFor = 4, LoadCost = 5, NamespaceVersion = 6, Tags = [new FrameTag("tag", 7), new FrameTag("ü", 8)], ETag = "etag", LastModified = 9 };

    [Fact]
    public void Write_AnyPayload_IsReadBackWhole() => Prop.ForAll<byte[], bool>((payload, compresses) =>
    {
        payload ??= [];
        byte[] frame = FrameCodec.Write("key", 42, Header, payload, compresses ? 1 : int.MaxValue);
        Assert.True(FrameCodec.TryRead("key", frame, 1 << 20, out Frame read));
        return read.Payload.Span.SequenceEqual(payload) && read.Version == 42 && read.Header.Tags.SequenceEqual(Header.Tags) && read.Header.ETag == "etag" && read.Header with { Tags = Header.Tags, Flags = FrameFlags.None } == Header;
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Read_AnyBitFlippedBehindTheEnvelope_IsAMiss()
    {
        byte[] frame = FrameCodec.Write("key", 42, Header, RandomNumberGenerator.GetBytes(40), int.MaxValue);
        for (int bit = SharedEnvelope.Size * 8; bit < frame.Length * 8; bit++)
        {
            byte[] flipped = [.. frame];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(FrameCodec.TryRead("key", flipped, 1 << 20, out _), $"bit {bit}");
        }
    }

    [Fact]
    public void Read_AnyTruncation_IsAMiss()
    {
        byte[] frame = FrameCodec.Write("key", 42, Header, new byte[5000], 1);
        for (int length = 0; length < frame.Length; length++)
        {
            Assert.False(FrameCodec.TryRead("key", frame[..length], 1 << 20, out _));
        }
    }

    [Fact]
    public void Read_AnotherKeysFrame_IsAMiss()
    {
        byte[] frame = FrameCodec.Write("key", 42, Header, [1], int.MaxValue);
        Assert.False(FrameCodec.TryRead("other", frame, 1 << 20, out _));
    }

    [Fact]
    public void Read_AnyBytes_NeverThrows() => Prop.ForAll<byte[]>(bytes => !FrameCodec.TryRead("key", bytes ?? [], 1 << 20, out _)).QuickCheckThrowOnFailure();

    [Fact]
    public async Task Get_DamagedFrame_IsACountedMiss()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache one = TestCache.New(shared: tier);
        await one.SetAsync("key", "value");
        tier["v1:test:key"]![^1] ^= 1;
        await using ResilientCache two = TestCache.New(shared: tier);
        Assert.Equal("new", await two.GetAsync("key", "new"));
        Assert.Equal(1, two.Snapshot().BadFrames);
    }
}
