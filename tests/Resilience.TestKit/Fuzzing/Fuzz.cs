using System.Diagnostics;
using System.Globalization;
using System.Text;
using Xunit;

namespace Resilience.TestKit;

/// <summary>
/// Feeds a reader with what was right once and has been damaged: bits flipped, pieces cut out, doubled, moved, joined to pieces of other
/// inputs, numbers at their limits written over it. The reader's test says what must hold for whatever comes; it throws when it does not.
/// </summary>
/// <remarks>
/// Every case depends on the seed and its number alone. A failure tells both and the input, which then goes into the corpus of the test, so
/// that it stays found. <c>STRESS_SECONDS</c> makes a run last that long instead of its number of cases, <c>STRESS_SEED</c> replays one.
/// </remarks>
public static class Fuzz
{
    private const int DefaultCases = 20_000;

    /// <summary>Damages bytes.</summary>
    /// <param name="corpus">Inputs to begin with, valid ones and all that have been found; each is tried undamaged first.</param>
    /// <param name="target">The reader and what must hold.</param>
    /// <param name="cases">How many cases.</param>
    /// <exception cref="FuzzFailedException">The target threw.</exception>
    public static void Bytes(IReadOnlyList<byte[]> corpus, Action<byte[]> target, int cases = DefaultCases) =>
        Run(corpus, target, static (input, other, random) => ByteDamage.Do(input, other, random), static input => "0x" + Convert.ToHexString(input), cases);

    /// <summary>Damages text.</summary>
    /// <inheritdoc cref="Bytes"/>
    public static void Text(IReadOnlyList<string> corpus, Action<string> target, int cases = DefaultCases) =>
        Run(corpus, target, static (input, other, random) => TextDamage.Do(input, other, random), Escape, cases);

    private static void Run<T>(IReadOnlyList<T> corpus, Action<T> target, Func<T, T, Random, T> damage, Func<T, string> show, int cases)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(target);
        int seed = int.TryParse(Environment.GetEnvironmentVariable("STRESS_SEED"), CultureInfo.InvariantCulture, out int given) ? given : Random.Shared.Next();
        TimeSpan? length = double.TryParse(Environment.GetEnvironmentVariable("STRESS_SECONDS"), CultureInfo.InvariantCulture, out double seconds) ? TimeSpan.FromSeconds(seconds) : null;
        TestContext.Current.TestOutputHelper?.WriteLine($"fuzz: seed {seed}");
        foreach (T input in corpus)
        {
            Try(input, -1);
        }

        long start = Stopwatch.GetTimestamp();
        for (int i = 0; length is { } limit ? Stopwatch.GetElapsedTime(start) < limit : i < cases; i++)
        {
            var random = new Random(unchecked((seed * 397) ^ (i * 486_187_739)));
            T input = corpus[random.Next(corpus.Count)];
            for (int n = 1 + random.Next(4); n > 0; n--)
            {
                input = damage(input, corpus[random.Next(corpus.Count)], random);
            }

            Try(input, i);
        }

        void Try(T input, int number)
        {
            try
            {
                target(input);
            }
            catch (Exception exception)
            {
                throw new FuzzFailedException($"{(number < 0 ? "An input of the corpus" : $"Case {number} of seed {seed}")} failed: {exception.GetType().Name}: {exception.Message} The input: {show(input)}", exception);
            }
        }
    }

    /// <summary>A C# literal, with everything that cannot be seen written as a number.</summary>
    private static string Escape(string text)
    {
        var literal = new StringBuilder("\"");
        foreach (char character in text)
        {
            literal.Append(character switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                >= ' ' and < (char)127 => character.ToString(),
                _ => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)character:X4}"),
            });
        }

        return literal.Append('"').ToString();
    }
}

/// <summary>A reader did what it must not with a damaged input; the message has the seed and the input.</summary>
public sealed class FuzzFailedException : Exception
{
    internal FuzzFailedException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
