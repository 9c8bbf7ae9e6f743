using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Resilience.Context;

/// <summary>
/// Identifiers of requests. A new one is a number, made text when somebody reads it: thirteen characters of base 32 over a counter that
/// starts at a random point, so that processes do not share a range.
/// </summary>
internal static class ScopeId
{
    public const int MaximumLength = 128;

    /// <summary>The number of a scope whose identifier can no longer be made because it is ending.</summary>
    public const long Sealed = -1;

    private const string Digits = "0123456789abcdefghjkmnpqrstvwxyz";
    private const int Length = 13;

    private static long last = RandomStart();

    /// <summary>A new positive number of sixty bits.</summary>
    public static long Next()
    {
        long number;
        do
        {
            number = Interlocked.Increment(ref last) & ((1L << 60) - 1);
        }
        while (number == 0);
        return number;
    }

    public static string Format(long number) =>
        string.Create(Length, number, static (text, value) =>
        {
            for (int index = text.Length - 1; index >= 0; index--)
            {
                text[index] = Digits[(int)(value & 31)];
                value >>= 5;
            }
        });

    /// <summary>Whether text from outside may be an identifier: <c>[A-Za-z0-9._-]{1,128}</c>.</summary>
    public static bool IsValid(string? text)
    {
        if (string.IsNullOrEmpty(text) || text.Length > MaximumLength)
        {
            return false;
        }

        foreach (char character in text)
        {
            if (!char.IsAsciiLetterOrDigit(character) && character is not ('.' or '_' or '-'))
            {
                return false;
            }
        }

        return true;
    }

    private static long RandomStart()
    {
        long start = 0;
        RandomNumberGenerator.Fill(MemoryMarshal.AsBytes(new Span<long>(ref start)));
        return start;
    }
}
