using System.Buffers.Binary;
using System.Text;

namespace Resilience.Caching.Frames;

/// <summary>Reads what <see cref="SpanWriter"/> wrote, from bytes that may be anything.</summary>
internal ref struct SpanReader(ReadOnlySpan<byte> source)
{
    private ReadOnlySpan<byte> _left = source;

    public readonly int Left => _left.Length;

    public bool TryByte(out byte value)
    {
        value = 0;
        if (!TryTake(1, out ReadOnlySpan<byte> bytes))
        {
            return false;
        }

        value = bytes[0];
        return true;
    }

    public bool TryUInt16(out ushort value)
    {
        bool taken = TryTake(2, out ReadOnlySpan<byte> bytes);
        value = taken ? BinaryPrimitives.ReadUInt16LittleEndian(bytes) : (ushort)0;
        return taken;
    }

    public bool TryInt32(out int value)
    {
        bool taken = TryTake(4, out ReadOnlySpan<byte> bytes);
        value = taken ? BinaryPrimitives.ReadInt32LittleEndian(bytes) : 0;
        return taken;
    }

    public bool TryInt64(out long value)
    {
        bool taken = TryTake(8, out ReadOnlySpan<byte> bytes);
        value = taken ? BinaryPrimitives.ReadInt64LittleEndian(bytes) : 0;
        return taken;
    }

    public bool TryText(out string? value)
    {
        value = null;
        if (!TryInt32(out int length) || length < -1)
        {
            return false;
        }

        if (length == -1)
        {
            return true;
        }

        if (!TryTake(length, out ReadOnlySpan<byte> bytes))
        {
            return false;
        }

        value = Encoding.UTF8.GetString(bytes);
        return true;
    }

    private bool TryTake(int count, out ReadOnlySpan<byte> bytes)
    {
        if (count > _left.Length)
        {
            bytes = default;
            return false;
        }

        bytes = _left[..count];
        _left = _left[count..];
        return true;
    }
}
