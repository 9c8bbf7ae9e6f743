using Resilience.Incidents.Instruments;

namespace Resilience.Incidents.Incidents.Avalanche;

internal sealed record Product(int Id, string Name, decimal Price);

/// <summary>The catalogue's database: ten connections, ten milliseconds a query, so a thousand products a second at the most.</summary>
internal sealed class Catalogue
{
    public const int Products = 2_000;

    /// <summary>How long a product may be cached. All were written by the same warm-up.</summary>
    public static readonly TimeSpan Expiration = TimeSpan.FromSeconds(4);

    public Source Source { get; } = new(slots: 10, query: TimeSpan.FromMilliseconds(10));

    public static string Key(int id) => $"product:{id}";

    public static Product Make(int id) => new(id, $"Product {id}", id);

    public async Task<Product> ReadAsync(int id, CancellationToken cancellationToken)
    {
        await Source.QueryAsync(Key(id), cancellationToken);
        return Make(id);
    }
}

internal interface IProductPages
{
    ValueTask WarmUpAsync(CancellationToken cancellationToken);

    ValueTask<Product> GetAsync(int id, CancellationToken cancellationToken);
}
