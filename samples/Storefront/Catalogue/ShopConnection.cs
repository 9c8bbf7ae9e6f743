using Resilience.Settings;

namespace Storefront.Catalogue;

/// <summary>
/// A connection to the in-process catalogue. It behaves as a real one does: opening costs a round trip, the server refuses more than
/// it can bear, a query takes its time and may fail.
/// </summary>
internal sealed class ShopConnection : IAsyncDisposable
{
    private static int _open;
    private readonly LiveSettings<CatalogueSettings> _settings;

    private ShopConnection(LiveSettings<CatalogueSettings> settings) => _settings = settings;

    public static async Task<ShopConnection> OpenAsync(LiveSettings<CatalogueSettings> settings, CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref _open) > settings.Current.MaxConnections)
        {
            Interlocked.Decrement(ref _open);
            throw new ShopUnavailableException($"the catalogue refuses more than {settings.Current.MaxConnections} connections");
        }

        await Task.Delay(settings.Current.Latency, cancellationToken);
        return new ShopConnection(settings);
    }

    public async Task QueryAsync(CancellationToken cancellationToken)
    {
        CatalogueSettings settings = _settings.Current;
        await Task.Delay(settings.Latency, cancellationToken);
        if (settings.FaultShare > 0 && Random.Shared.NextDouble() < settings.FaultShare)
        {
            throw new ShopUnavailableException("the catalogue failed, as it was told to by Catalogue:FaultShare");
        }
    }

    public ValueTask DisposeAsync()
    {
        Interlocked.Decrement(ref _open);
        return ValueTask.CompletedTask;
    }
}

/// <summary>The catalogue cannot answer.</summary>
internal sealed class ShopUnavailableException(string message) : Exception(message);
