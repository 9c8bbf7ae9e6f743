using System.Net;
using Resilience.AspNetCore;
using Resilience.Context;

// A gateway before an inventory service, both in this program. The deadline comes in by a header, goes on less a margin, and what is logged
// after the answer is a snapshot, never the request itself.
WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.UseUrls(builder.Configuration["urls"] ?? "http://127.0.0.1:0");

// snippet: services
builder.Services.Configure<ContextSettings>("", static settings => settings.TrustedPeers.Add("127.0.0.0/8"));
builder.Services.AddRequestScopes();
builder.Services.AddHttpClient("inventory").AddRequestScopePropagation();
builder.Services.AddBackgroundWorkQueue("access-log");
// end-snippet

WebApplication app = builder.Build();
app.UseRequestScopes();

// Who is asked has a little less time than the gateway, and may be the first to say that it was not enough: that is the caller's 504 too.
app.Use(static async (context, next) =>
{
    try
    {
        await next(context);
    }
    catch (HttpRequestException exception) when (exception.StatusCode == HttpStatusCode.GatewayTimeout && !context.Response.HasStarted)
    {
        context.Response.StatusCode = StatusCodes.Status504GatewayTimeout;
    }
});

// snippet: gateway
app.MapGet("/products/{id:int}", static async (int id, HttpContext context, IHttpClientFactory clients, [FromKeyedServices("access-log")] BackgroundWorkQueue log) =>
{
    RequestScope scope = RequestScope.Current!;
    string stock = await clients.CreateClient("inventory").GetStringAsync(new Uri($"http://{context.Request.Host}/inventory/{id}"), scope.Token);

    // What the log needs, by value. A lambda over the HttpContext would keep the whole of it alive until the line is written.
    var line = RequestSnapshot.Of(context, "User-Agent");
    log.TryEnqueue(scope.Detach(TimeSpan.FromSeconds(10)), line, static (_, line, _) =>
    {
        Console.WriteLine($"gateway: log {line}");
        return ValueTask.CompletedTask;
    });
    return $"product {id}: {stock}";
}).WithRequestDeadline(TimeSpan.FromSeconds(10));
// end-snippet

app.MapGet("/inventory/{id:int}", static async (int id) =>
{
    RequestScope scope = RequestScope.Current!;
    bool isEnough = scope.Deadline.Remaining > TimeSpan.FromMilliseconds(100);
    await Task.Delay(isEnough ? 10 : 1000, scope.Token);
    return $"{id % 5} in stock, asked within {(scope.Deadline.Remaining < TimeSpan.FromSeconds(5) ? "less than five seconds" : "five seconds or more")}";
});

await app.StartAsync();
Console.WriteLine("gateway: ready");
if (args.Contains("--demo"))
{
    using var caller = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
    foreach ((string id, string milliseconds) in new[] { ("demo-1", "5000"), ("demo-2", "90"), ("demo-3", "0") })
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/products/7");
        request.Headers.Add(ScopeHeaders.RequestId, id);
        request.Headers.Add(DeadlineCodec.TimeoutHeader, milliseconds);
        using HttpResponseMessage answer = await caller.SendAsync(request);
        Console.WriteLine($"gateway: {id} with {milliseconds} ms: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}".TrimEnd());
    }

    await app.StopAsync();
}
else
{
    await app.WaitForShutdownAsync();
}
