using System.Text;
using Resilience.Caching.Frames;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Backplane;

/// <summary>
/// The format of a message between nodes: format 1, sender 8, count 2, then per change kind 1, name (length 4, UTF-8), version 8, and for a
/// tag its removed version 8. A message that cannot be read says nothing but that something was missed.
/// </summary>
internal static class ChangeCodec
{
    private const byte Format = 1;

    public static byte[] Write(long sender, IReadOnlyCollection<Change> changes)
    {
        int size = 1 + 8 + 2;
        foreach (Change change in changes)
        {
            size += 1 + sizeof(int) + Encoding.UTF8.GetByteCount(change.Name) + 16;
        }

        byte[] body = new byte[size];
        var writer = new SpanWriter(body);
        writer.Byte(Format);
        writer.Int64(sender);
        writer.UInt16((ushort)changes.Count);
        foreach (Change change in changes)
        {
            writer.Byte((byte)change.Kind);
            writer.Text(change.Name);
            writer.Int64(change.Kind == ChangeKind.Tag ? change.Tag.Latest : change.Version);
            writer.Int64(change.Tag.Removed);
        }

        return body;
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out long sender, out Change[] changes)
    {
        changes = [];
        sender = 0;
        var reader = new SpanReader(body);
        if (!reader.TryByte(out byte format) || format != Format || !reader.TryInt64(out sender) || !reader.TryUInt16(out ushort count))
        {
            return false;
        }

        var read = new List<Change>();
        for (int i = 0; i < count; i++)
        {
            if (!reader.TryByte(out byte kind) || kind > (byte)ChangeKind.Lost || !reader.TryText(out string? name) || name is null
                || !reader.TryInt64(out long version) || !reader.TryInt64(out long removed))
            {
                return false;
            }

            var change = new Change((ChangeKind)kind, name, version, new TagVersion(version, removed));
            if (change is { Kind: ChangeKind.Tag, Tag.IsSound: false })
            {
                return false;
            }

            read.Add(change);
        }

        changes = [.. read];
        return reader.Left == 0;
    }
}
