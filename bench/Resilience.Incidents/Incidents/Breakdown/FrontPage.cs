using Resilience.Incidents.Instruments;

namespace Resilience.Incidents.Incidents.Breakdown;

internal sealed record BestSellers(int[] Products);

/// <summary>The list on the front page: one key that everybody reads, and a report query of 300 ms behind it.</summary>
internal sealed class FrontPage
{
    public const string Key = "bestsellers";

    public static readonly TimeSpan Expiration = TimeSpan.FromSeconds(2);

    public Source Source { get; } = new(slots: 10, query: TimeSpan.FromMilliseconds(300));

    public async Task<BestSellers> ReadAsync(CancellationToken cancellationToken)
    {
        await Source.QueryAsync(Key, cancellationToken);
        return new BestSellers([1, 2, 3, 5, 8]);
    }
}

internal interface IFrontPage
{
    ValueTask<BestSellers> GetAsync(CancellationToken cancellationToken);
}
