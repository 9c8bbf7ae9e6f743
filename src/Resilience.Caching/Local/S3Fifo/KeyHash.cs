using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// A keyed hash of texts for tables in this process: folded multiplication with secret operands, as in aHash's portable variant. Keys come
/// from callers, so that collisions must not be computable; at the length of a cache key it takes half of what
/// <see cref="string.GetHashCode()"/> takes.
/// </summary>
internal static class KeyHash
{
    private static readonly ulong Secret0 = Secret();
    private static readonly ulong Secret1 = Secret();
    private static readonly ulong Secret2 = Secret();

    /// <summary>Hashes a text; differs from process to process.</summary>
    public static int Of(ReadOnlySpan<char> text)
    {
        ref byte at = ref Unsafe.As<char, byte>(ref MemoryMarshal.GetReference(text));
        nuint length = (nuint)text.Length * sizeof(char);
        ulong hash = Secret2 + length;
        if (length > 16)
        {
            // Sixteen bytes at a time; the last sixteen overlap with those before.
            nuint last = length - 16;
            for (nuint offset = 0; offset < last; offset += 16)
            {
                hash = Mix(hash, Read(ref at, offset), Read(ref at, offset + 8));
            }

            hash = Mix(hash, Read(ref at, last), Read(ref at, last + 8));
        }
        else if (length >= 8)
        {
            hash = Mix(hash, Read(ref at, 0), Read(ref at, length - 8));
        }
        else
        {
            ulong few = 0;
            foreach (char c in text)
            {
                few = (few << 16) | c;
            }

            hash = Mix(hash, few, 0);
        }

        ulong end = Fold(hash ^ Secret0, Secret1 | 1);
        return (int)(end >> 32);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Mix(ulong hash, ulong a, ulong b) => ulong.RotateLeft((hash + Secret1) ^ Fold(a ^ Secret0, b ^ Secret1), 23);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Fold(ulong a, ulong b)
    {
        ulong high = Math.BigMul(a, b, out ulong low);
        return high ^ low;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Read(ref byte at, nuint offset) => Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref at, offset));

    private static ulong Secret()
    {
        Span<byte> bytes = stackalloc byte[8];
        System.Security.Cryptography.RandomNumberGenerator.Fill(bytes);
        return BitConverter.ToUInt64(bytes);
    }
}
