using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.Context;

namespace Resilience.AspNetCore.Tests.Scopes;

public sealed class RequestScopeMiddlewareTests
{
    [Fact]
    public async Task UseRequestScopes_Request_HasScopeThatEndsWithIt()
    {
        RequestScope? seen = null;
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddRequestScopes();
        builder.Services.AddRequestScopes();
        await using WebApplication app = builder.Build();
        app.UseRequestScopes();
        app.MapGet("/", async () =>
        {
            seen = RequestScope.Current;
            await Task.Yield();
            return RequestScope.Current!.Deadline.Remaining.TotalSeconds.ToString(CultureInfo.InvariantCulture);
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
        using var client = new HttpClient();
        string answer = await client.GetStringAsync(new Uri(app.Urls.First()), TestContext.Current.CancellationToken);

        Assert.InRange(double.Parse(answer, CultureInfo.InvariantCulture), 1, 10);
        Assert.NotNull(seen);
        Assert.True(seen.IsEnded);
        Assert.Null(RequestScope.Current);
    }
}
