using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Resilience.AspNetCore;
using Resilience.Context;
using Resilience.Settings;

namespace Storefront.Stock;

/// <summary>
/// A gateway to another service: the visitor's deadline goes along with the call, less a margin, and what is written to the access log after
/// the answer is a snapshot, never the request itself.
/// </summary>
internal static class StockEndpoints
{
    public const string Client = "warehouse";

    public static void AddStock(this IServiceCollection services)
    {
        services.AddLiveSettings<StockSettings>("", "Stock");
        services.AddHttpClient(Client).AddRequestScopePropagation();
        services.AddBackgroundWorkQueue("access-log");
    }

    public static void MapStock(this IEndpointRouteBuilder app)
    {
        app.MapGet("/products/{id:int}/stock", GetAsync).WithRequestDeadline(TimeSpan.FromSeconds(2));

        // Stands for the warehouse, a service of somebody else.
        app.MapGet("/warehouse/{id:int}", static async (int id, [FromKeyedServices("")] LiveSettings<StockSettings> settings, CancellationToken ct) =>
        {
            await Task.Delay(settings.Current.Latency, ct);
            return new StockLevel(id, id % 5, (int)RequestScope.Current!.Deadline.Remaining.TotalMilliseconds);
        });
    }

    private static async Task<Results<Ok<StockLevel>, StatusCodeHttpResult>> GetAsync(
        int id,
        HttpContext context,
        IHttpClientFactory clients,
        IServer server,
        [FromKeyedServices("")] LiveSettings<StockSettings> settings,
        [FromKeyedServices("access-log")] BackgroundWorkQueue log)
    {
        // snippet: access-log
        RequestScope scope = RequestScope.Current!;
        var line = RequestSnapshot.Of(context, "User-Agent");
        log.TryEnqueue(scope.Detach(TimeSpan.FromSeconds(10)), line, static (services, line, _) =>
        {
            services.GetRequiredService<ILogger<StockLevel>>().LogDebug("{Request}", line);
            return ValueTask.CompletedTask;
        });
        // end-snippet

        Uri warehouse = settings.Current.Warehouse ?? new Uri(server.Features.Get<IServerAddressesFeature>()!.Addresses.First());
        try
        {
            return TypedResults.Ok(await clients.CreateClient(Client).GetFromJsonAsync(new Uri(warehouse, $"/warehouse/{id}"), StorefrontJson.Default.StockLevel, scope.Token));
        }
        catch (HttpRequestException exception) when (exception.StatusCode == HttpStatusCode.GatewayTimeout)
        {
            return TypedResults.StatusCode(StatusCodes.Status504GatewayTimeout); // what it was given was not enough, and so is what we had
        }
        catch (HttpRequestException)
        {
            return TypedResults.StatusCode(StatusCodes.Status502BadGateway);
        }
    }
}

/// <summary>How much of a product there is, and how long the warehouse was given to say so.</summary>
internal sealed record StockLevel(int Id, int InStock, int AskedWithinMs);
