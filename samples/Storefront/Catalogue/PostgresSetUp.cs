namespace Storefront.Catalogue;

/// <summary>Makes the tables and fills the catalogue before the first request.</summary>
internal sealed class PostgresSetUp(PostgresShop shop) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken) => shop.SetUpAsync(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
