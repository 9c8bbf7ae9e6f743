namespace Resilience.Caching.Local.S3Fifo;

/// <summary>What the engine has to know of a value, known at compile time so that asking costs nothing.</summary>
/// <typeparam name="TValue">The values.</typeparam>
internal interface IEntryTraits<in TValue>
{
    /// <summary>What a value is charged for; at least 1, and always the same for one value.</summary>
    static abstract long WeightOf(TValue value);

    /// <summary>Whether a value is of no use any more.</summary>
    static abstract bool IsDead(TValue value, long now);
}
