using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Degrade.Tests.Overrides;

/// <summary>What stands in a file holds after a restart, and is believed only with its signature.</summary>
public sealed class OverrideFileTests
{
    private static readonly OverrideCodec Codec = new(new byte[32]);

    [Fact]
    public void Codec_RoundTripAndEveryTamperedByte_OnlyTheOriginalIsRead()
    {
        OverrideCommand command = TestStore.Command(DateTimeOffset.FromUnixTimeMilliseconds(1_790_000_000_000)) with { Revision = 3, Reason = "a;b:\"c\"" };
        string text = Codec.Write(command);
        Assert.Equal(command, Codec.TryRead(text, out string? problem));
        Assert.Null(problem);
        Assert.Null(new OverrideCodec([.. Enumerable.Repeat((byte)1, 32)]).TryRead(text, out problem));
        Assert.Equal("its signature is not right", problem);
        Assert.Null(Codec.TryRead(text.Replace("\"hmac\"", "\"x\"", StringComparison.Ordinal), out problem));
        Assert.Equal("it is not signed", problem);
        int read = 0;
        for (int i = 0; i < text.Length; i++)
        {
            string tampered = string.Concat(text.AsSpan(0, i), ((char)(text[i] ^ 1)).ToString(), text.AsSpan(i + 1));
            read += Codec.TryRead(tampered, out _) is { } other && other != command ? 1 : 0;
        }

        Assert.Equal(0, read);
        Assert.Null(Codec.TryRead("[]", out problem));
        Assert.Equal("it is malformed", problem);
    }

    [Fact]
    public async Task File_AfterARestart_TheOverrideHoldsForTheRestOfItsTerm()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("overrides").FullName, "overrides.json");
        var settings = new Dictionary<string, string?> { ["Overrides:SigningKey"] = Convert.ToBase64String(new byte[32]) };
        await using (DegradeHost first = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideFile(file)))
        {
            await first.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-9", "bob", TimeSpan.FromHours(1));
        }

        await using (DegradeHost second = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideFile(file)))
        {
            // In force before the first request: it was loaded while the host started.
            Assert.Equal("INC-9 (bob)", second.Degradation.Decide(TestStore.Export).Reason);
            second.Time.Advance(TimeSpan.FromHours(1.1));
            Assert.Equal(FeatureState.Normal, second.Degradation.StateOf(TestStore.Export));
        }

        await File.WriteAllTextAsync(file, (await File.ReadAllTextAsync(file)).Replace("bob", "eve", StringComparison.Ordinal));
        await using DegradeHost third = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideFile(file));
        await third.Logs.WaitForAsync(entry => entry.Id.Id == 4011);
        Assert.Equal(FeatureState.Normal, third.Degradation.StateOf(TestStore.Export));
    }

    [Fact]
    public async Task File_WithoutAKey_FailsWithWhatToDo()
    {
        var error = await Assert.ThrowsAsync<InvalidOperationException>(() => DegradeHost.StartAsync(null, builder => builder.AddOverrideFile("/tmp/none")));
        Assert.Contains("SigningKey", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task LastKnownGood_StoreAwayAtTheStart_TheFileAnswersAndLaterTheStoreAgain()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("overrides").FullName, "last.json");
        var settings = new Dictionary<string, string?> { ["Overrides:SigningKey"] = Convert.ToBase64String(new byte[32]) };
        var store = new TestStore();
        await using (DegradeHost first = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideStore((_, _) => store, file)))
        {
            await first.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-3", "bob", TimeSpan.FromHours(1));
        }

        store = new TestStore { IsLost = true };
        store.Commands.Writer.Complete(new IOException("lost"));
        await using DegradeHost second = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideStore((_, _) => store, file));
        Assert.Equal("INC-3 (bob)", second.Degradation.Decide(TestStore.Export).Reason);
        Assert.Single(second.Logs.WithId(4013));

        // The count goes on from what the file said, however little the store that comes back knows.
        store.IsLost = false;
        OverrideCommand lifted = await second.Degradation.LiftOverrideAsync(TestStore.Export, "over", "bob");
        Assert.Equal(2, lifted.Revision);
        Assert.Equal(FeatureState.Normal, second.Degradation.StateOf(TestStore.Export));
    }

    [Fact]
    public async Task LastKnownGood_DiskCannotBeWritten_TheOverrideHoldsAndItIsToldOnce()
    {
        string file = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"), "no-such-directory", "last.json");
        var settings = new Dictionary<string, string?> { ["Overrides:SigningKey"] = Convert.ToBase64String(new byte[32]) };
        await using DegradeHost host = await DegradeHost.StartAsync(settings, builder => builder.AddOverrideStore((_, _) => new TestStore(), file));
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who");
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Degraded, "why", "who");
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(TestStore.Export));
        Assert.Single(host.Logs.WithId(4015));
    }
}
