using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Resilience.Caching.Hashing;

/// <summary>
/// XXH64 in one shot, as specified in xxHash's <c>xxhash_spec.md</c> (Yann Collet). The guard's filters index by it and frames carry it
/// as their checksum; both leave the process, so it must be the same everywhere, which <see cref="string.GetHashCode()"/> is not.
/// </summary>
internal static class XxHash64
{
    private const ulong Prime1 = 11400714785074694791UL;
    private const ulong Prime2 = 14029467366897019727UL;
    private const ulong Prime3 = 1609587929392839161UL;
    private const ulong Prime4 = 9650029242287828579UL;
    private const ulong Prime5 = 2870177450012600261UL;
    private const int Stripe = 32;

    /// <summary>Hashes the UTF-16 code units of a text, low byte first, without copying them.</summary>
    public static ulong Hash(ReadOnlySpan<char> text, ulong seed = 0)
    {
        if (BitConverter.IsLittleEndian)
        {
            return Hash(MemoryMarshal.AsBytes(text), seed);
        }

        var swapped = new ushort[text.Length];
        BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<char, ushort>(text), swapped);
        return Hash(MemoryMarshal.AsBytes<ushort>(swapped), seed);
    }

    /// <summary>Hashes bytes.</summary>
    public static ulong Hash(ReadOnlySpan<byte> bytes, ulong seed = 0)
    {
        ref byte at = ref MemoryMarshal.GetReference(bytes);
        nuint left = (nuint)bytes.Length;
        ulong hash;
        if (left >= Stripe)
        {
            ulong a = seed + Prime1 + Prime2;
            ulong b = seed + Prime2;
            ulong c = seed;
            ulong d = seed - Prime1;
            do
            {
                a = Round(a, Read64(ref at));
                b = Round(b, Read64(ref Unsafe.Add(ref at, 8)));
                c = Round(c, Read64(ref Unsafe.Add(ref at, 16)));
                d = Round(d, Read64(ref Unsafe.Add(ref at, 24)));
                at = ref Unsafe.Add(ref at, Stripe);
                left -= Stripe;
            }
            while (left >= Stripe);

            hash = BitOperations.RotateLeft(a, 1) + BitOperations.RotateLeft(b, 7) + BitOperations.RotateLeft(c, 12) + BitOperations.RotateLeft(d, 18);
            hash = Merge(hash, a);
            hash = Merge(hash, b);
            hash = Merge(hash, c);
            hash = Merge(hash, d);
        }
        else
        {
            hash = seed + Prime5;
        }

        return Finish(hash + (ulong)bytes.Length, ref at, left);
    }

    private static ulong Finish(ulong hash, ref byte at, nuint left)
    {
        for (; left >= 8; left -= 8, at = ref Unsafe.Add(ref at, 8))
        {
            hash = (BitOperations.RotateLeft(hash ^ Round(0, Read64(ref at)), 27) * Prime1) + Prime4;
        }

        if (left >= 4)
        {
            hash = (BitOperations.RotateLeft(hash ^ (Read32(ref at) * Prime1), 23) * Prime2) + Prime3;
            at = ref Unsafe.Add(ref at, 4);
            left -= 4;
        }

        for (; left > 0; left--, at = ref Unsafe.Add(ref at, 1))
        {
            hash = BitOperations.RotateLeft(hash ^ (at * Prime5), 11) * Prime1;
        }

        hash = (hash ^ (hash >> 33)) * Prime2;
        hash = (hash ^ (hash >> 29)) * Prime3;
        return hash ^ (hash >> 32);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Round(ulong lane, ulong input) => BitOperations.RotateLeft(lane + (input * Prime2), 31) * Prime1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Merge(ulong hash, ulong lane) => ((hash ^ Round(0, lane)) * Prime1) + Prime4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Read64(ref byte at)
    {
        ulong value = Unsafe.ReadUnaligned<ulong>(ref at);
        return BitConverter.IsLittleEndian ? value : BinaryPrimitives.ReverseEndianness(value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Read32(ref byte at)
    {
        uint value = Unsafe.ReadUnaligned<uint>(ref at);
        return BitConverter.IsLittleEndian ? value : BinaryPrimitives.ReverseEndianness(value);
    }
}
