using Resilience.Pools;
using Resilience.Settings;

namespace Storefront.Catalogue;

/// <summary>Chooses where the shop lives: PostgreSQL where it is configured, this process otherwise. Both stand behind the pool "shop".</summary>
internal static class CatalogueRegistration
{
    public static void AddCatalogue(this WebApplicationBuilder builder)
    {
        builder.Services.AddResourcePool(InProcessShop.Pool, static async (services, ct) =>
            await ShopConnection.OpenAsync(services.GetRequiredService<LiveSettings<CatalogueSettings>>(), ct));
        builder.Services.AddSingleton<IShop, InProcessShop>();
    }
}
