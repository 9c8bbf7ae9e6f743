using System.Buffers.Binary;

namespace Resilience.TestKit;

/// <summary>One wound in an array of bytes.</summary>
internal static class ByteDamage
{
    private static readonly long[] Limits = [0, 1, -1, sbyte.MaxValue, byte.MaxValue, short.MaxValue, ushort.MaxValue, int.MaxValue, int.MinValue, uint.MaxValue, long.MaxValue, long.MinValue];

    public static byte[] Do(byte[] input, byte[] other, Random random)
    {
        if (input.Length == 0)
        {
            return [(byte)random.Next(256)];
        }

        int at = random.Next(input.Length);
        int length = Math.Min(input.Length - at, 1 + random.Next(16));
        switch (random.Next(9))
        {
            case 0:
                return Changed(input, copy => copy[at] ^= (byte)(1 << random.Next(8)));
            case 1:
                return Changed(input, copy => copy[at] = (byte)random.Next(256));
            case 2:
                return Changed(input, copy => WriteNumber(copy.AsSpan(at), Limits[random.Next(Limits.Length)]));
            case 3:
                return input[..at];
            case 4:
                return [.. input[..at], .. input[(at + length)..]];
            case 5:
                return [.. input[..(at + length)], .. input[at..]];
            case 6:
                return [.. input[..at], .. RandomBytes(length, random), .. input[at..]];
            case 7:
                return [.. input[..at], .. other[Math.Min(at, other.Length)..]];
            default:
                return Changed(input, copy => random.NextBytes(copy.AsSpan(at, length)));
        }
    }

    private static byte[] Changed(byte[] input, Action<byte[]> change)
    {
        byte[] copy = [.. input];
        change(copy);
        return copy;
    }

    private static byte[] RandomBytes(int count, Random random)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    /// <summary>Writes a number in the widest way that fits, so that lengths and counts get values at their limits.</summary>
    private static void WriteNumber(Span<byte> target, long number)
    {
        if (target.Length >= 8)
        {
            BinaryPrimitives.WriteInt64LittleEndian(target, number);
        }
        else if (target.Length >= 4)
        {
            BinaryPrimitives.WriteInt32LittleEndian(target, (int)number);
        }
        else if (target.Length >= 2)
        {
            BinaryPrimitives.WriteInt16LittleEndian(target, (short)number);
        }
        else
        {
            target[0] = (byte)number;
        }
    }
}
