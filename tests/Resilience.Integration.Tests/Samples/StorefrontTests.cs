using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Npgsql;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Samples;

/// <summary>The main job: the sample shop as its user runs it, in a process of its own.</summary>
[Collection(RunsAlone.Name)]
public sealed partial class StorefrontTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("storefront-");
    private readonly string _settings;

    public StorefrontTests()
    {
        _settings = Path.Combine(_folder.FullName, "appsettings.json");
        JsonNode settings = JsonNode.Parse(File.ReadAllText(Path.Combine(Repository.Root, "samples", "Storefront", "appsettings.json")))!;

        // Other tests run beside these, and a machine that they keep busy is one that admission protects.
        settings["Resilience"]!["Degrade"]!["Admission"] = new JsonObject { ["DryRun"] = true };
        File.WriteAllText(_settings, settings.ToJsonString());
    }

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Drive_NoServer_AnswersEveryRequestFromOneLoadAProduct()
    {
        const int Products = 700;
        await using ChildProcess shop = Start("--drive", await WriteTraceAsync(reads: 4000, Products), "--rate", "1000");

        Dictionary<string, double> summary = Summary(await shop.WaitForLineAsync("drive: ", Patience));

        int exitCode = await shop.WaitForExitAsync(Patience);
        Assert.True(exitCode == 0, string.Join(Environment.NewLine, shop.Lines.TakeLast(30)));
        Assert.Equal(4000, summary["requests"]);
        Assert.Equal(4000, summary["ok"]);
        Assert.Equal(0, summary["errors"]);
        Assert.Equal(80, summary["orders"]);
        Assert.Equal(Products, summary["source_loads"]);
        Assert.InRange(summary["pool_max_in_use"], 1, 16);
    }

    [Fact]
    public async Task Drive_RedisKilledInTheMiddle_CostsNoRequest()
    {
        await using RedisServer redis = await RedisServer.StartNewAsync();
        await using PostgresServer postgres = await PostgresServer.StartNewAsync();
        await using ChildProcess shop = Start("--drive", "--seconds", "12", "--rate", "400", "--redis", redis.Endpoint, "--postgres", postgres.ConnectionString);

        await shop.WaitForLineAsync("requests", Patience);
        await redis.KillAsync();
        Dictionary<string, double> summary = Summary(await shop.WaitForLineAsync("drive: ", Patience));

        int exitCode = await shop.WaitForExitAsync(Patience);
        Assert.True(exitCode == 0 && summary["errors"] == 0, string.Join(Environment.NewLine, shop.Lines.TakeLast(30)));
        Assert.InRange(summary["ok"], 3000, 4800);
    }

    [Fact]
    public async Task Guard_KeysStreamedFromPostgres_RefusesWhatIsNotThereWithoutAQuery()
    {
        const string NoAudit = "--Resilience:Caches:products:Guard:AuditShare=0";
        await using PostgresServer postgres = await PostgresServer.StartNewAsync();
        await using ChildProcess shop = Start("--urls", "http://127.0.0.1:0", "--Catalogue:Products=5000", "--postgres", postgres.ConnectionString, NoAudit);
        using var client = new HttpClient { BaseAddress = Address(await shop.WaitForLineAsync("Now listening on", Patience)) };
        string ready = await shop.WaitForLineAsync("Guard 'products' is ready", Patience);
        Assert.Contains("5000 keys", ready, StringComparison.Ordinal);

        // The table goes away: whatever were asked of it now would fail.
        await using (NpgsqlDataSource database = NpgsqlDataSource.Create(postgres.ConnectionString))
        {
            await using NpgsqlCommand drop = database.CreateCommand("alter table products rename to gone");
            await drop.ExecuteNonQueryAsync();
        }

        int missing = 0;
        for (int id = 1_000_000; id < 1_000_200; id++)
        {
            using HttpResponseMessage response = await client.GetAsync(new Uri($"/products/{id}", UriKind.Relative));
            missing += response.StatusCode == HttpStatusCode.NotFound ? 1 : 0;
        }

        using HttpResponseMessage existing = await client.GetAsync(new Uri("/products/42", UriKind.Relative));
        Assert.InRange(missing, 180, 200); // one in two hundred passes as possibly there
        Assert.Equal(HttpStatusCode.InternalServerError, existing.StatusCode);
    }

    [Fact]
    public async Task Postgres_AwayAndNoStalePage_IsUnavailableAndComesBack()
    {
        await using PostgresServer postgres = await PostgresServer.StartNewAsync();
        await using ChildProcess shop = Start("--urls", "http://127.0.0.1:0", "--Catalogue:Products=500", "--postgres", postgres.ConnectionString, "--Resilience:Caches:products:Guard:Enabled=false");
        using var client = new HttpClient { BaseAddress = Address(await shop.WaitForLineAsync("Now listening on", Patience)) };
        Assert.Equal(HttpStatusCode.OK, (await PageAsync(client, 1)).Status);

        await postgres.KillAsync();

        // Pages that nobody has seen yet, and changes: there is nothing that could stand in for them. First broken connections, then no pool.
        for (int id = 100; id < 140; id++)
        {
            (HttpStatusCode status, TimeSpan? retryAfter) = await PageAsync(client, id);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
            Assert.True(retryAfter >= TimeSpan.FromSeconds(1));
        }

        using HttpResponseMessage order = await client.PostAsync(new Uri("/orders", UriKind.Relative), new StringContent("""{"productId":1,"quantity":1,"email":"a@example.org"}""", System.Text.Encoding.UTF8, "application/json"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, order.StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await PageAsync(client, 1)).Status);
        await shop.WaitForLineAsync("Requests are answered with 503 because of", Patience);
        Assert.DoesNotContain(shop.Lines, static line => line.Contains("An unhandled exception", StringComparison.Ordinal));

        await postgres.StartAsync();
        await Eventually.TrueAsync(async () => (await PageAsync(client, 200)).Status == HttpStatusCode.OK, "a page after the database is back", Patience);
    }

    [Fact]
    public async Task Settings_CommentsSwitchedOffAndOn_TakesEffectWhileItServes()
    {
        await using ChildProcess shop = Start("--urls", "http://127.0.0.1:0");
        using var client = new HttpClient { BaseAddress = Address(await shop.WaitForLineAsync("Now listening on", Patience)) };
        Assert.Equal(HttpStatusCode.OK, await CommentsAsync(client));

        TimeSpan off = await SwitchAsync(client, "Off", HttpStatusCode.ServiceUnavailable);
        TimeSpan on = await SwitchAsync(client, "On", HttpStatusCode.OK);

        TestContext.Current.TestOutputHelper?.WriteLine($"off after {off.TotalMilliseconds:0} ms, on after {on.TotalMilliseconds:0} ms");
    }

    [Fact]
    public async Task Settings_Malformed_KeepsServingWithTheLastGood()
    {
        await using ChildProcess shop = Start("--urls", "http://127.0.0.1:0");
        using var client = new HttpClient { BaseAddress = Address(await shop.WaitForLineAsync("Now listening on", Patience)) };
        await SwitchAsync(client, "Off", HttpStatusCode.ServiceUnavailable);

        await File.WriteAllTextAsync(_settings, (await File.ReadAllTextAsync(_settings)).Replace("\"Off\"", "\"Of\"", StringComparison.Ordinal));
        string rejected = await shop.WaitForLineAsync("rejected", Patience);

        Assert.Contains("Resilience:Degrade:Features:comments = 'Of'", rejected, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await CommentsAsync(client));
        Assert.Contains("Degraded", await client.GetStringAsync(new Uri("/health", UriKind.Relative)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Settings_Wrong_StopTheStartWithEveryError()
    {
        JsonNode settings = JsonNode.Parse(await File.ReadAllTextAsync(_settings))!;
        settings["Resilience"]!["Pools"]!["shop"]!["MaxSize"] = 0;
        settings["Resilience"]!["Caches"]!["products"]!["Expiraton"] = "00:30:00";
        await File.WriteAllTextAsync(_settings, settings.ToJsonString());

        await using ChildProcess shop = Start("--urls", "http://127.0.0.1:0");
        int exitCode = await shop.WaitForExitAsync(Patience);

        string output = string.Join('\n', shop.Lines);
        Assert.NotEqual(0, exitCode);
        Assert.Contains("2 settings are wrong", output, StringComparison.Ordinal);
        Assert.Contains("Resilience:Pools:shop:MaxSize = '0': must be from 1 to 65536", output, StringComparison.Ordinal);
        Assert.Contains("Resilience:Caches:products:Expiraton = '00:30:00': is not a setting; did you mean 'Expiration'?", output, StringComparison.Ordinal);
    }

    private static async Task<(HttpStatusCode Status, TimeSpan? RetryAfter)> PageAsync(HttpClient client, int id)
    {
        using HttpResponseMessage response = await client.GetAsync(new Uri($"/products/{id}", UriKind.Relative));
        return (response.StatusCode, response.Headers.RetryAfter?.Delta);
    }

    private static async Task<HttpStatusCode> CommentsAsync(HttpClient client)
    {
        using HttpResponseMessage response = await client.GetAsync(new Uri("/products/42/comments", UriKind.Relative));
        return response.StatusCode;
    }

    /// <summary>Every product once in a row, then all of them again and again.</summary>
    private async Task<string> WriteTraceAsync(int reads, int products)
    {
        string path = Path.Combine(_folder.FullName, "trace.bin.gz");
        await using var gzip = new GZipStream(File.Create(path), CompressionLevel.Fastest);
        byte[] key = new byte[sizeof(int)];
        for (int i = 0; i < reads; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(key, i % products);
            await gzip.WriteAsync(key);
        }

        return path;
    }

    private static Uri Address(string line) => new(ListeningOn().Match(line).Value);

    private static Dictionary<string, double> Summary(string line) =>
        line["drive: ".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(pair => pair.Split('='))
            .ToDictionary(pair => pair[0], pair => double.Parse(pair[1], CultureInfo.InvariantCulture), StringComparer.Ordinal);

    private async Task<TimeSpan> SwitchAsync(HttpClient client, string state, HttpStatusCode expected)
    {
        JsonNode settings = JsonNode.Parse(await File.ReadAllTextAsync(_settings))!;
        settings["Resilience"]!["Degrade"]!["Features"]!["comments"] = state;
        await File.WriteAllTextAsync(_settings, settings.ToJsonString());
        long start = Stopwatch.GetTimestamp();
        await Eventually.TrueAsync(async () => await CommentsAsync(client) == expected, $"comments are {expected}", Patience);
        return Stopwatch.GetElapsedTime(start);
    }

    private ChildProcess Start(params string[] arguments) =>
        ChildProcess.StartDotnet(Repository.Output("samples/Storefront"), arguments, new ChildProcessOptions { WorkingDirectory = _folder.FullName });

    [GeneratedRegex(@"http://\S+")]
    private static partial Regex ListeningOn();
}
