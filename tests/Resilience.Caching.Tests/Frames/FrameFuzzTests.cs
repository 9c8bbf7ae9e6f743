using System.Buffers.Binary;
using Resilience.Caching.Backplane;
using Resilience.Caching.Frames;
using Resilience.Caching.Hashing;
using Resilience.Caching.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Frames;

/// <summary>Whatever stands in Redis under a key, or comes through the channel of changes: it is read, or it is no value; nothing throws.</summary>
public sealed class FrameFuzzTests
{
    private const string Key = "product:42";
    private const int MaxPayload = 100_000;

    private static readonly FrameHeader Bare = new() { CreatedAt = 1, FreshFor = 2, UsefulFor = 3, LocalFor = 4, LoadCost = 5, NamespaceVersion = 6, Tags = [], ETag = null, LastModified = 0 };
    private static readonly FrameHeader Full = Bare with { Tags = [new FrameTag("tag", 7), new FrameTag("ü", 8)], ETag = "etag", LastModified = 9 };

    private static readonly byte[][] Frames =
    [
        FrameCodec.Write(Key, 42, Bare, "payload"u8, int.MaxValue),
        FrameCodec.Write(Key, 42, Full, "payload"u8, int.MaxValue),
        FrameCodec.Write(Key, 42, Full, new byte[5_000], 1),
        FrameCodec.Write(Key, 42, Bare, default, int.MaxValue),
        SharedEnvelope.NewTombstone(),
        [],
    ];

    private static readonly byte[][] Messages =
    [
        ChangeCodec.Write(7, []),
        ChangeCodec.Write(7, [new Change(ChangeKind.Key, Key, 1, default), new Change(ChangeKind.Tag, "*", 0, new TagVersion(2, 1)), new Change(ChangeKind.Lost, "", 0, default)]),
    ];

    [Fact]
    public void Read_DamagedFrame_IsNeverAnotherValue() => Fuzz.Bytes(Frames, static bytes =>
    {
        byte[] before = [.. bytes];
        if (FrameCodec.TryRead(Key, bytes, MaxPayload, out Frame frame))
        {
            // The envelope is the tier's and not covered by the checksum; all else must be as one of those that were written.
            Assert.Contains(Frames, whole => whole.AsSpan(Math.Min(whole.Length, SharedEnvelope.Size)).SequenceEqual(bytes.AsSpan(SharedEnvelope.Size)));
            Assert.InRange(frame.Payload.Length, 0, MaxPayload);
        }

        Assert.Equal(before, bytes);
    });

    /// <summary>The checksum keeps accidents away, not somebody who computes it: behind it the reader must be as careful.</summary>
    [Fact]
    public void Read_DamagedFrameWithARightChecksum_NeverThrowsAndStaysWithinBounds() => Fuzz.Bytes(Frames, static bytes =>
    {
        Sign(bytes);
        if (FrameCodec.TryRead(Key, bytes, MaxPayload, out Frame frame))
        {
            Assert.InRange(frame.Payload.Length, 0, MaxPayload);
            Assert.True(frame.Header is { FreshFor: >= 0, UsefulFor: >= 0, LocalFor: >= 0 });
            Assert.InRange(frame.State, SharedEnvelope.Live, SharedEnvelope.Expired);

            byte[] again = FrameCodec.Write(Key, frame.Version, frame.Header with { Flags = frame.Header.Flags & ~FrameFlags.Brotli }, frame.Payload.Span, int.MaxValue);
            Assert.True(FrameCodec.TryRead(Key, again, MaxPayload, out Frame same));
            Assert.True(same.Payload.Span.SequenceEqual(frame.Payload.Span) && same.Header.Tags.SequenceEqual(frame.Header.Tags) && same.Header.ETag == frame.Header.ETag);
        }
    });

    [Fact]
    public void Read_DamagedMessage_NeverThrows() => Fuzz.Bytes(Messages, static bytes =>
    {
        if (ChangeCodec.TryRead(bytes, out long sender, out Change[] changes))
        {
            byte[] again = ChangeCodec.Write(sender, changes);
            Assert.True(ChangeCodec.TryRead(again, out long sameSender, out Change[] same));
            Assert.Equal(sender, sameSender);
            Assert.Equal(changes, same);
        }
    });

    /// <summary>Long texts and many tags: what is written must be read back, or the value is lost in silence. Found: lengths of 16 bits, which a longer text overran.</summary>
    [Theory]
    [InlineData(65_535, 0, 0)]
    [InlineData(70_000, 0, 0)]
    [InlineData(0, 1, 65_535)]
    [InlineData(0, 1, 70_000)]
    [InlineData(4, 3_000, 4)]
    public void Write_LongTextsAndManyTags_AreReadBack(int etag, int tags, int length)
    {
        FrameHeader header = Bare with { ETag = new string('e', etag), Tags = [.. Enumerable.Range(0, tags).Select(tag => new FrameTag(new string('t', length), tag))] };
        byte[] frame = FrameCodec.Write(Key, 42, header, "payload"u8, int.MaxValue);

        Assert.True(FrameCodec.TryRead(Key, frame, MaxPayload, out Frame read));
        Assert.True(read.Payload.Span.SequenceEqual("payload"u8));
        Assert.Equal(header.ETag, read.Header.ETag);
        Assert.Equal(header.Tags, read.Header.Tags);

        byte[] message = ChangeCodec.Write(7, [new Change(ChangeKind.Key, new string('k', length), 1, default)]);
        Assert.True(ChangeCodec.TryRead(message, out _, out Change[] changes));
        Assert.Equal(length, Assert.Single(changes).Name.Length);
    }

    private static void Sign(byte[] frame)
    {
        if (frame.Length >= SharedEnvelope.Size + 8)
        {
            ReadOnlySpan<byte> covered = frame.AsSpan(SharedEnvelope.Size, frame.Length - SharedEnvelope.Size - 8);
            BinaryPrimitives.WriteUInt64LittleEndian(frame.AsSpan(frame.Length - 8), XxHash64.Hash(covered));
        }
    }
}
