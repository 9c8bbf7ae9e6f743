using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Resilience.Caching.Hashing;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Frames;

/// <summary>
/// The format of values in the shared tier. Little-endian: envelope (version 8, state 1), magic 2, format 1, flags 2, created 8, fresh 8,
/// useful 8, local 8, load cost 4, key hash 8, namespace version 8, last modified 8, tag count 2, per tag (length 4, UTF-8, version 8),
/// ETag (length 4, UTF-8), length before compression 4, payload length 4, payload, XXH64 over everything behind the envelope.
/// </summary>
/// <remarks>
/// The envelope is outside the checksum because the tier rewrites it. The key's hash is inside so that a frame that stands under
/// another key is no value. Whatever cannot be read, for whatever reason, is no value either: reading never throws.
/// </remarks>
internal static class FrameCodec
{
    private const ushort Magic = 0x4B52; // "RK"
    private const byte Format = 1;
    private const int FixedSize = SharedEnvelope.Size + 2 + 1 + 2 + (8 * 4) + 4 + (8 * 3) + 2;
    private const int ChecksumSize = 8;
    private const int TextLengthSize = sizeof(int);

    /// <summary>No span of a frame is longer than this, a thousand years: what is came from no writer of ours.</summary>
    private const long MaxMilliseconds = 1000L * 366 * 24 * 3600 * 1000;

    private static readonly long MinUnixMilliseconds = DateTimeOffset.MinValue.ToUnixTimeMilliseconds();
    private static readonly long MaxUnixMilliseconds = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    /// <summary>Writes a frame behind a new envelope.</summary>
    /// <param name="key">The key, complete.</param>
    /// <param name="version">The envelope's version.</param>
    /// <param name="header">What to say of the value.</param>
    /// <param name="payload">The value.</param>
    /// <param name="compressFrom">The payload size from which on compression is tried; <see cref="int.MaxValue"/> for never.</param>
    /// <returns>An array of exactly the frame's size.</returns>
    public static byte[] Write(string key, long version, in FrameHeader header, ReadOnlySpan<byte> payload, int compressFrom)
    {
        byte[]? rented = null;
        FrameFlags flags = header.Flags;
        ReadOnlySpan<byte> body = payload;
        try
        {
            if (payload.Length >= compressFrom)
            {
                rented = ArrayPool<byte>.Shared.Rent(BrotliEncoder.GetMaxCompressedLength(payload.Length));
                if (BrotliEncoder.TryCompress(payload, rented, out int written, quality: 3, window: 22) && written < payload.Length)
                {
                    body = rented.AsSpan(0, written);
                    flags |= FrameFlags.Brotli;
                }
            }

            int size = FixedSize + TextLengthSize + Utf8Length(header.ETag) + 8 + body.Length + ChecksumSize;
            foreach (FrameTag tag in header.Tags)
            {
                size += TextLengthSize + Utf8Length(tag.Name) + 8;
            }

            byte[] frame = new byte[size];
            SharedEnvelope.Write(frame, version, SharedEnvelope.Live);
            var writer = new SpanWriter(frame.AsSpan(SharedEnvelope.Size));
            WriteHeader(ref writer, key, header, flags);
            writer.Int32(payload.Length);
            writer.Int32(body.Length);
            writer.Bytes(body);
            writer.Int64((long)XxHash64.Hash(frame.AsSpan(SharedEnvelope.Size, size - SharedEnvelope.Size - ChecksumSize)));
            return frame;
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<byte>.Shared.Return(rented);
            }
        }
    }

    /// <summary>Reads a stored value.</summary>
    /// <param name="key">The key under which it stood.</param>
    /// <param name="value">The stored bytes. The frame keeps a part of the array unless the payload was compressed.</param>
    /// <param name="maxPayload">The largest payload that is believed.</param>
    /// <param name="frame">The frame.</param>
    /// <returns>False for anything that is not a whole and undamaged frame of this key, tombstones among them.</returns>
    public static bool TryRead(string key, byte[] value, long maxPayload, out Frame frame)
    {
        frame = default;
        byte state = SharedEnvelope.State(value);
        if (value.Length < FixedSize + TextLengthSize + 8 + ChecksumSize || state > SharedEnvelope.Expired)
        {
            return false;
        }

        ReadOnlySpan<byte> covered = value.AsSpan(SharedEnvelope.Size, value.Length - SharedEnvelope.Size - ChecksumSize);
        if (BinaryPrimitives.ReadUInt64LittleEndian(value.AsSpan(value.Length - ChecksumSize)) != XxHash64.Hash(covered))
        {
            return false;
        }

        var reader = new SpanReader(covered);
        if (!TryReadHeader(ref reader, key, out FrameHeader header) || !reader.TryInt32(out int length) || !reader.TryInt32(out int stored)
            || stored != reader.Left || length < 0 || length > maxPayload)
        {
            return false;
        }

        ReadOnlyMemory<byte> payload = value.AsMemory(value.Length - ChecksumSize - stored, stored);
        if ((header.Flags & FrameFlags.Brotli) != FrameFlags.None)
        {
            byte[] plain = new byte[length];
            if (!TryDecompress(payload.Span, plain))
            {
                return false;
            }

            payload = plain;
        }
        else if (stored != length)
        {
            return false;
        }

        frame = new Frame(header, payload, SharedEnvelope.Version(value), state);
        return true;
    }

    private static bool TryDecompress(ReadOnlySpan<byte> source, Span<byte> target) =>
        BrotliDecoder.TryDecompress(source, target, out int written) && written == target.Length;

    private static void WriteHeader(ref SpanWriter writer, string key, in FrameHeader header, FrameFlags flags)
    {
        writer.UInt16(Magic);
        writer.Byte(Format);
        writer.UInt16((ushort)flags);
        writer.Int64(header.CreatedAt);
        writer.Int64(header.FreshFor);
        writer.Int64(header.UsefulFor);
        writer.Int64(header.LocalFor);
        writer.Int32(header.LoadCost);
        writer.Int64((long)XxHash64.Hash(key));
        writer.Int64(header.NamespaceVersion);
        writer.Int64(header.LastModified);
        writer.UInt16((ushort)header.Tags.Length);
        foreach (FrameTag tag in header.Tags)
        {
            writer.Text(tag.Name);
            writer.Int64(tag.Version);
        }

        writer.Text(header.ETag);
    }

    private static bool TryReadHeader(ref SpanReader reader, string key, out FrameHeader header)
    {
        header = default;
        if (!reader.TryUInt16(out ushort magic) || magic != Magic || !reader.TryByte(out byte format) || format != Format
            || !reader.TryUInt16(out ushort flags) || (flags & ~(ushort)FrameFlags.Known) != 0
            || !reader.TryInt64(out long created) || !reader.TryInt64(out long fresh) || !reader.TryInt64(out long useful) || !reader.TryInt64(out long local)
            || !reader.TryInt32(out int cost) || !reader.TryInt64(out long hash) || hash != (long)XxHash64.Hash(key)
            || !reader.TryInt64(out long namespaceVersion) || !reader.TryInt64(out long modified)
            || !reader.TryUInt16(out ushort count) || count * (TextLengthSize + 8) > reader.Left || !IsSpan(fresh) || !IsSpan(useful) || !IsSpan(local) || cost < 0
            || created < 0 || created > MaxUnixMilliseconds || modified < MinUnixMilliseconds || modified > MaxUnixMilliseconds)
        {
            return false;
        }

        FrameTag[] tags = count == 0 ? [] : new FrameTag[count];
        for (int i = 0; i < count; i++)
        {
            if (!reader.TryText(out string? name) || name is null || !reader.TryInt64(out long version))
            {
                return false;
            }

            tags[i] = new FrameTag(name, version);
        }

        if (!reader.TryText(out string? etag))
        {
            return false;
        }

        header = new FrameHeader
        {
            Flags = (FrameFlags)flags,
            CreatedAt = created,
            FreshFor = fresh,
            UsefulFor = useful,
            LocalFor = local,
            LoadCost = cost,
            NamespaceVersion = namespaceVersion,
            LastModified = modified,
            Tags = tags,
            ETag = etag,
        };
        return true;
    }

    private static bool IsSpan(long milliseconds) => milliseconds is >= 0 and <= MaxMilliseconds;

    private static int Utf8Length(string? text) => text is null ? 0 : Encoding.UTF8.GetByteCount(text);
}
