using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests.Wiring;

/// <summary>How much a request matters is said once, by its endpoint or by a caller who is trusted, and goes with it into admission, its scope and the pools.</summary>
public sealed class PriorityWiringTests
{
    [Theory]
    [InlineData("/search", null, true, Priority.Normal)]
    [InlineData("/checkout", null, true, Priority.Critical)]
    [InlineData("/search", "bulk", true, Priority.Bulk)]
    [InlineData("/checkout", "low", true, Priority.Low)]
    [InlineData("/search", "critical", false, Priority.Normal)]
    [InlineData("/search", "nonsense", true, Priority.Normal)]
    public async Task Request_Priority_IsThatOfItsEndpointOrOfATrustedCaller(string path, string? header, bool isTrusted, Priority expected)
    {
        await using WebApplication app = await StartAsync(isTrusted ? "127.0.0.0/8" : "10.0.0.0/8");
        using HttpClient client = Client(app);

        Assert.Equal(expected.ToString(), await AskAsync(client, path, header));

        AdmissionController admission = app.Services.GetRequiredService<AdmissionController>();
        await Eventually.TrueAsync(() => Counted(admission, expected) > 0, "the request has been counted"); // after its answer came
        Assert.All(Enum.GetValues<Priority>(), priority => Assert.Equal(priority == expected, Counted(admission, priority) > 0));
    }

    [Fact]
    public async Task TrustedPeers_ChangedWhileItRuns_HoldForAdmissionToo()
    {
        await using WebApplication app = await StartAsync("10.0.0.0/8");
        using HttpClient client = Client(app);
        AdmissionController admission = app.Services.GetRequiredService<AdmissionController>();
        Assert.False(await IsHeardAsync("bulk", Priority.Bulk));

        await TrustAsync("127.0.0.0/8", "bulk", Priority.Bulk, heard: true);
        await TrustAsync("127.0.0.1/8", "low", Priority.Low, heard: true); // wrong: the last good ones hold
        await TrustAsync("10.0.0.0/8", "critical", Priority.Critical, heard: false);

        async Task TrustAsync(string peers, string asked, Priority priority, bool heard)
        {
            ((IConfigurationRoot)app.Configuration)["Resilience:Context:TrustedPeers:0"] = peers;
            ((IConfigurationRoot)app.Configuration).Reload();
            await Eventually.TrueAsync(async () => await IsHeardAsync(asked, priority) == heard, $"with {peers} trusted, '{asked}' is{(heard ? "" : " not")} heard");
        }

        async Task<bool> IsHeardAsync(string asked, Priority priority)
        {
            long before = Counted(admission, priority);
            long all = Enum.GetValues<Priority>().Sum(one => Counted(admission, one));
            await AskAsync(client, "/search", asked);
            await Eventually.TrueAsync(() => Enum.GetValues<Priority>().Sum(one => Counted(admission, one)) > all, "the request has been counted"); // after its answer came
            return Counted(admission, priority) > before;
        }
    }

    [Fact]
    public async Task Pool_RequestsWait_TheMoreImportantIsServedFirst()
    {
        await using WebApplication app = await StartAsync("127.0.0.0/8");
        using HttpClient client = Client(app);
        ResourcePool<object> pool = app.Services.GetRequiredKeyedService<ResourcePool<object>>("orders");
        PoolLease<object> held = await pool.AcquireAsync(TestContext.Current.CancellationToken);
        List<Task<string>> waiting = [];
        foreach (string priority in (string[])["bulk", "low", "normal", "critical"])
        {
            waiting.Add(AskAsync(client, "/orders", priority));
            await Eventually.TrueAsync(() => pool.Snapshot().Waiting == waiting.Count, "the request waits for the pool");
        }

        await held.DisposeAsync();

        Assert.Equal(["4", "3", "2", "1"], await Task.WhenAll(waiting));
    }

    private static async Task<WebApplication> StartAsync(string trusted)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Configuration["Resilience:Context:TrustedPeers:0"] = trusted;
        builder.Configuration["Resilience:Context:DefaultTimeout"] = "00:01:00";
        builder.Configuration["Resilience:Pools:orders:MaxSize"] = "1";
        builder.Configuration["Resilience:Pools:orders:AcquireTimeout"] = "00:01:00";
        builder.Configuration["Resilience:Degrade:Admission:DryRun"] = "true";
        builder.AddResilienceKit(kit => kit.AddPool("orders", _ => new ResourceFactory<object>(_ => new ValueTask<object>(new object()))));
        WebApplication app = builder.Build();
        app.UseResilienceKit();
        app.MapGet("/search", () => RequestScope.Current!.Priority.ToString());
        app.MapGet("/checkout", () => RequestScope.Current!.Priority.ToString()).WithPriority(Priority.Critical);
        int served = 0;
        app.MapGet("/orders", async ([FromKeyedServices("orders")] ResourcePool<object> pool, CancellationToken token) =>
        {
            await using PoolLease<object> lease = await pool.AcquireAsync(token);
            return Interlocked.Increment(ref served).ToString(System.Globalization.CultureInfo.InvariantCulture);
        });
        await app.StartAsync();
        return app;
    }

    /// <summary>However it was answered: nothing is refused in a dry run, but a busy machine is one on which it would be.</summary>
    private static long Counted(AdmissionController admission, Priority priority) => Enum.GetValues<AdmissionResult>().Sum(result => admission.Count(priority, result));

    private static HttpClient Client(WebApplication app) => new() { BaseAddress = new Uri(app.Urls.First()) };

    private static async Task<string> AskAsync(HttpClient client, string path, string? priority)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        if (priority is not null)
        {
            request.Headers.Add(ScopeHeaders.Priority, priority);
        }

        using HttpResponseMessage answer = await client.SendAsync(request);
        return await answer.Content.ReadAsStringAsync();
    }
}
