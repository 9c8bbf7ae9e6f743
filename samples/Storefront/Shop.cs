using System.Data.Common;
using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Settings;
using Storefront.Catalogue;
using Storefront.Drive;
using Storefront.Mail;
using Storefront.Operators;
using Storefront.Orders;
using Storefront.Products;
using Storefront.Stock;
using Storefront.Telemetry;

namespace Storefront;

/// <summary>Builds the service: what it is made of, and what it answers.</summary>
internal static class Shop
{
    public static WebApplication Build(DriveOptions options, int? products)
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder(options.Rest);
        builder.Configuration.AddInMemoryCollection(Overrides(options, products));
        AddServices(builder);

        WebApplication app = builder.Build();
        app.UseResilienceKit();
        app.UseAuthentication();
        app.UseAuthorization();
        app.MapProducts();
        app.MapOrders();
        app.MapStock();
        app.MapOperators();
        app.MapHealthChecks("/health");
        app.MapResilienceHealth();

        // The shop listens on the loopback alone; a service that does not says RequireAuthorization("ops") for reading too.
        app.MapResilienceDashboard().AllowAnonymousReadOnly().RequireAuthorizationToChange(OperatorSignIn.Policy);
        return app;
    }

    private static void AddServices(WebApplicationBuilder builder)
    {
        builder.AddResilienceKit(kit => kit
            .AddCache(ProductPages.Cache)
            .AddFeature(Features.Comments)
            .AddFeature(Features.Recommendations));

        // snippet: answer-unavailable
        // The kit answers with 503 and Retry-After where a pool has nothing to give; a connection that breaks in the middle of a query is as little the caller's fault.
        builder.Services.AddRequestScopes().AnswerUnavailable(static exception => exception is DbException { IsTransient: true });
        // end-snippet
        builder.Services.AddLiveSettings<CatalogueSettings>("", "Catalogue");
        builder.Services.AddSingleton(services => services.GetRequiredKeyedService<LiveSettings<CatalogueSettings>>(""));
        builder.AddCatalogue();
        builder.Services.AddBloomGuard(ProductPages.Cache, services => new ProductKeys(services.GetRequiredService<IShop>())); // after the catalogue, whose tables it reads
        builder.Services.AddMail();
        builder.Services.AddStock();
        builder.Services.AddOperators();
        builder.AddShopTelemetry();
        builder.Services.AddSingleton<ProductPages>();
        builder.Services.AddSingleton<ShopFigures>();
        builder.Services.ConfigureHttpJsonOptions(json => json.SerializerOptions.TypeInfoResolverChain.Insert(0, StorefrontJson.Default));
    }

    /// <summary>What the command line says wins over the files; a drive listens where it disturbs nobody.</summary>
    private static IEnumerable<KeyValuePair<string, string?>> Overrides(DriveOptions options, int? products)
    {
        if (options.Drive)
        {
            yield return new("Urls", "http://127.0.0.1:0");
            yield return new("Catalogue:Products", products?.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        if (options.Redis is { } redis)
        {
            yield return new("Resilience:Redis:Configuration", $"{redis},abortConnect=false");
        }

        if (options.Postgres is { } postgres)
        {
            yield return new("ConnectionStrings:Shop", postgres);
        }
    }
}
