using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Overrides;

/// <summary>Whatever stands in the store of overrides: it is a command that was signed, to the letter, or it is none; nothing throws.</summary>
public sealed class OverrideFuzzTests
{
    private static readonly byte[] SigningKey = [.. Enumerable.Range(0, 32).Select(static number => (byte)number)];
    private static readonly OverrideCodec Codec = new(SigningKey);

    private static readonly OverrideCommand[] Commands =
    [
        new() { Feature = "comments", State = FeatureState.Off, Reason = "database", Who = "ops", IssuedAt = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_123), Ttl = TimeSpan.FromMinutes(10), Revision = 3, Nonce = "n1" },
        new() { Feature = "recommendations", State = null, Reason = "", Who = "", IssuedAt = DateTimeOffset.UnixEpoch, Ttl = TimeSpan.Zero, Revision = 0, Nonce = "" },
        new() { Feature = "ü\"\\\n", State = FeatureState.Degraded, Reason = "1:a;1:b", Who = "😀", IssuedAt = DateTimeOffset.UnixEpoch, Ttl = TimeSpan.FromDays(1), Revision = long.MaxValue, Nonce = "x" },
    ];

    private static readonly string[] Corpus = [.. Commands.Select(Codec.Write), "", "{}", "[]", "null", "{\"feature\":null}"];

    [Fact]
    public void Read_DamagedCommand_IsNeverAnotherCommand() => Fuzz.Text(Corpus, static text =>
    {
        OverrideCommand? read = Codec.TryRead(text, out string? problem);
        Assert.True((read is null) == (problem is not null), "either a command or a problem");
        Assert.True(read is null || Commands.Contains(read), $"a command that nobody has signed: {read}");
    });

    /// <summary>With the right key anything may be signed; what is read must then be what was written.</summary>
    [Fact]
    public void WriteThenRead_AnyTexts_IsTheSameCommandOrNone() => Fuzz.Text(["comments", "ü", "a;b", "\ud83d\ude00"], static text =>
    {
        OverrideCommand command = Commands[0] with { Feature = text, Reason = text, Nonce = text, Who = text };
        OverrideCommand? read = Codec.TryRead(Codec.Write(command), out _);
        Assert.NotNull(read);
        Assert.Equal(Clean(command.Feature), read.Feature);
    });

    [Fact]
    public void Read_SignedWithAnotherKey_IsRefused()
    {
        var other = new OverrideCodec(RandomNumberGenerator.GetBytes(32));
        foreach (OverrideCommand command in Commands)
        {
            Assert.Null(other.TryRead(Codec.Write(command), out string? problem));
            Assert.Equal("its signature is not right", problem);
        }
    }

    [Fact]
    public async Task Load_DamagedFile_KeepsTheLinesThatAreWhole()
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory("overrides-").FullName, "overrides");
        try
        {
            int seed = Random.Shared.Next();
            var random = new Random(seed);
            string good = Codec.Write(Commands[0]);
            for (int i = 0; i < 200; i++)
            {
                byte[] noise = new byte[random.Next(200)];
                random.NextBytes(noise);
                await File.WriteAllBytesAsync(path, [.. noise, (byte)'\n', .. System.Text.Encoding.UTF8.GetBytes(good), (byte)'\n', .. noise]);
                using var store = new FileOverrideStore(path, Codec, NullLogger<FileOverrideStore>.Instance);
                IReadOnlyList<OverrideCommand> loaded = await store.LoadAsync(TestContext.Current.CancellationToken);
                Assert.True(loaded.SequenceEqual([Commands[0]]), $"seed {seed}, file {i}: {loaded.Count} commands");
            }
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        }
    }

    /// <summary>JSON has no lone surrogates; the writer puts a replacement character in their place.</summary>
    private static string Clean(string text) => System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(text));
}
