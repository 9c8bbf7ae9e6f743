using Npgsql;
using Resilience.Pools;
using Resilience.Settings;
using Storefront.Orders;

namespace Storefront.Catalogue;

/// <summary>Chooses where the shop lives: PostgreSQL where it is configured, this process otherwise. Both stand behind the pool "shop".</summary>
internal static class CatalogueRegistration
{
    public static void AddCatalogue(this WebApplicationBuilder builder)
    {
        IServiceCollection services = builder.Services;
        if (builder.Configuration.GetConnectionString("Shop") is { Length: > 0 } shop)
        {
            // The kit's pool bounds and watches the connections, so the driver's own is off.
            string connectionString = new NpgsqlConnectionStringBuilder(shop) { Pooling = false }.ConnectionString;
            services.AddPooledDbDataSource(InProcessShop.Pool, _ => () => new NpgsqlConnection(connectionString));
            services.AddSingleton(provider => new PostgresShop(
                provider.GetRequiredKeyedService<PooledDbDataSource>(InProcessShop.Pool),
                provider.GetRequiredService<LiveSettings<CatalogueSettings>>()));
            services.AddSingleton<IShop>(provider => provider.GetRequiredService<PostgresShop>());
            services.AddHostedService<PostgresSetUp>();
        }
        else
        {
            services.AddResourcePool(InProcessShop.Pool, static async (provider, ct) =>
                await ShopConnection.OpenAsync(provider.GetRequiredService<LiveSettings<CatalogueSettings>>(), ct));
            services.AddSingleton<IShop, InProcessShop>();
        }

        services.AddBatchWriter<AuditEntry>("audit", static provider =>
        {
            IShop audited = provider.GetRequiredService<IShop>();
            return (entries, ct) => new ValueTask(audited.WriteAuditAsync(entries, ct));
        });
    }
}
