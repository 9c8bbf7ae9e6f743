namespace Resilience.TestKit;

/// <summary>One wound in a text.</summary>
internal static class TextDamage
{
    /// <summary>What readers of text stumble over.</summary>
    private static readonly string[] Pieces =
    [
        "", " ", "\t", "\r\n", "\0", "\"", "\\", "'", ",", ";", ":", "=", "%", "%0d%0a", "%zz", "{", "}", "[", "]", "-", "+", ".", "/", "..", "e", "0", "00", "-1", "1e999", "NaN", "Infinity", "null", "true",
        "9223372036854775807", "9223372036854775808", "-9223372036854775809", "2147483648", "-2147483649", "79228162514264337593543950335", "999999999999", "4294967296",
        "00:00:00", "-00:00:01", "10675199.02:48:05.4775807", "99:99:99", "KiB", " TB", "\u0663", "\u200b", "\ufeff", "\ufffd", "\ud800", "\udc00", "\ud83d\ude00", "\u0130", "ﬀ",
    ];

    public static string Do(string input, string other, Random random)
    {
        int at = random.Next(input.Length + 1);
        int length = Math.Min(input.Length - at, 1 + random.Next(16));
        string piece = Pieces[random.Next(Pieces.Length)];
        return random.Next(9) switch
        {
            0 => input[..at] + piece + input[at..],
            1 => input[..at] + piece + input[(at + length)..],
            2 => input[..at],
            3 => input[..at] + input[(at + length)..],
            4 => input[..(at + length)] + input[at..],
            5 => input[..at] + (char)random.Next(char.MaxValue + 1) + input[at..],
            6 => input[..at] + other[Math.Min(at, other.Length)..],
            7 => input[..at] + new string(at < input.Length ? input[at] : 'x', random.Next(2) == 0 ? 40 : 4_000) + input[at..],
            _ => Flip(input, at, random),
        };
    }

    private static string Flip(string input, int at, Random random)
    {
        if (at == input.Length)
        {
            return input;
        }

        char[] characters = input.ToCharArray();
        characters[at] ^= (char)(1 << random.Next(7));
        return new string(characters);
    }
}
