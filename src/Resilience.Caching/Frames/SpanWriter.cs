using System.Buffers.Binary;
using System.Text;

namespace Resilience.Caching.Frames;

/// <summary>Writes little-endian fields one behind the other into a span that is known to be large enough.</summary>
internal ref struct SpanWriter(Span<byte> target)
{
    private Span<byte> _left = target;

    public void Byte(byte value)
    {
        _left[0] = value;
        _left = _left[1..];
    }

    public void UInt16(ushort value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(_left, value);
        _left = _left[2..];
    }

    public void Int32(int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(_left, value);
        _left = _left[4..];
    }

    public void Int64(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(_left, value);
        _left = _left[8..];
    }

    public void Bytes(ReadOnlySpan<byte> value)
    {
        value.CopyTo(_left);
        _left = _left[value.Length..];
    }

    /// <summary>A length (4 bytes) and UTF-8; <see langword="null"/> is the length -1.</summary>
    public void Text(string? value)
    {
        if (value is null)
        {
            Int32(-1);
            return;
        }

        int written = Encoding.UTF8.GetBytes(value, _left[sizeof(int)..]);
        Int32(written);
        _left = _left[written..];
    }
}
