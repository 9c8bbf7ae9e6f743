namespace Resilience.Context;

/// <summary>
/// A monotonic clock in whole milliseconds for paths on which a full timestamp would be the dearest thing they do.
/// </summary>
/// <remarks>
/// With <see cref="TimeProvider.System"/> it reads <see cref="Environment.TickCount64"/>, a quarter of the cost of
/// <see cref="TimeProvider.GetTimestamp"/> at a resolution of one to sixteen milliseconds; with any other provider it reads that
/// provider's timestamp, so that a test moves it. Readings of clocks over different providers are not comparable. Thread-safe.
/// </remarks>
public readonly struct CoarseClock
{
    private readonly TimeProvider? _provider;
    private readonly double _millisecondsPerTick;

    /// <summary>Makes a clock over a provider.</summary>
    /// <param name="provider">The source of time; <see langword="null"/> or <see cref="TimeProvider.System"/> for the machine's own.</param>
    public CoarseClock(TimeProvider? provider)
    {
        if (provider is not null && !ReferenceEquals(provider, TimeProvider.System))
        {
            _provider = provider;
            _millisecondsPerTick = 1000.0 / provider.TimestampFrequency;
        }
    }

    /// <summary>Milliseconds since an arbitrary fixed moment; never falls.</summary>
    public long Milliseconds =>
        _provider is null ? Environment.TickCount64 : (long)(_provider.GetTimestamp() * _millisecondsPerTick);
}
