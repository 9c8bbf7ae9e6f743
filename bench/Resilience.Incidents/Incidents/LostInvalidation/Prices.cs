namespace Resilience.Incidents.Incidents.LostInvalidation;

internal sealed record Price(int Item, int Version);

/// <summary>A table of prices. A read sees the row as it is when the query begins and brings it home some milliseconds later.</summary>
internal sealed class Prices
{
    public const int Items = 200;

    private readonly int[] _versions = new int[Items];

    public async Task<Price> ReadAsync(int item, CancellationToken cancellationToken)
    {
        var row = new Price(item, Volatile.Read(ref _versions[item]));
        await Task.Delay(8, cancellationToken);
        return row;
    }

    public async Task<int> ChangeAsync(int item, CancellationToken cancellationToken)
    {
        await Task.Delay(2, cancellationToken);
        return Interlocked.Increment(ref _versions[item]);
    }
}

internal interface IPriceService
{
    ValueTask<Price> GetAsync(int item, CancellationToken cancellationToken);

    /// <summary>Changes a price; when this has returned, nobody is to see an older one.</summary>
    ValueTask<int> ChangeAsync(int item, CancellationToken cancellationToken);
}
