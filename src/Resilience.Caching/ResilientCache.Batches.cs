namespace Resilience.Caching;

public sealed partial class ResilientCache
{
    /// <summary>
    /// Gets many values; what is missing is read from the shared tier in one go, and what is missing there is loaded by one call of the
    /// factory. Single-flight holds per key, across batches and single reads.
    /// </summary>
    /// <typeparam name="TState">The type of what is handed to the factory.</typeparam>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="keys">The keys; one that occurs twice counts once.</param>
    /// <param name="state">What is handed to the factory.</param>
    /// <param name="factory">Loads the given keys. A key that it leaves out does not exist, which is remembered.</param>
    /// <param name="options">How the entries are kept; the cache's settings when <see langword="null"/>.</param>
    /// <param name="tags">The entries' tags.</param>
    /// <param name="cancellationToken">Ends this caller's wait.</param>
    /// <returns>The values of the keys that exist.</returns>
    /// <exception cref="CacheLoadTimeoutException">The load took longer than its timeout, and not every key had a stale copy.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public ValueTask<IReadOnlyDictionary<string, T>> GetOrCreateManyAsync<TState, T>(IEnumerable<string> keys, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, CacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(factory);
        cancellationToken.ThrowIfCancellationRequested();
        _upkeep.Start();
        return _batches.ReadAsync(keys.Select(Checked), state, factory, _core.Policies.Get(options), Collect(tags), cancellationToken);
    }

    /// <summary>Looks for many values in both tiers, the shared one in one go. Runs no factory.</summary>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="keys">The keys.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The values that were found and are fresh.</returns>
    public ValueTask<IReadOnlyDictionary<string, T>> TryGetManyAsync<T>(IEnumerable<string> keys, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        cancellationToken.ThrowIfCancellationRequested();
        _upkeep.Start();
        return _batches.LookAsync<T>(keys.Select(Checked), cancellationToken);
    }

    /// <summary>Sets many values, on their way to the shared tier all at once.</summary>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="values">Keys and values.</param>
    /// <param name="options">How they are kept; the cache's settings when <see langword="null"/>.</param>
    /// <param name="tags">Their tags.</param>
    /// <param name="cancellationToken">Asked once, at the start.</param>
    public async ValueTask SetManyAsync<T>(IEnumerable<KeyValuePair<string, T>> values, CacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        cancellationToken.ThrowIfCancellationRequested();
        EntryPolicy policy = _core.Policies.Get(options);
        IReadOnlyCollection<string>? collected = Collect(tags);
        await Task.WhenAll(values.Select(pair => SetCoreAsync(Checked(pair.Key), pair.Value, policy, collected).AsTask())).ConfigureAwait(false);
    }

    private static string Checked(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        return key;
    }
}
