namespace Resilience.Caching;

public sealed partial class ResilientCache
{
    /// <summary>
    /// Gets many values; what is missing is read from the shared tier in one go, and what is missing there is loaded by one call of the
    /// factory. Single-flight holds per key, across batches and single reads. At the soft timeout, and at the request's deadline, the keys
    /// that have a stale copy are answered with it.
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
    /// <exception cref="Resilience.Context.DeadlineExceededException">The request's deadline passed, and not every key had a value or a stale copy.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public ValueTask<IReadOnlyDictionary<string, T>> GetOrCreateManyAsync<TState, T>(IEnumerable<string> keys, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, CacheEntryOptions? options = null, IEnumerable<string>? tags = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(factory);
        cancellationToken.ThrowIfCancellationRequested();
        _upkeep.Start();
        return ReadManyAsync(Checked(keys), state, factory, _core.Policies.Get(options), CacheText.CheckTags(tags), cancellationToken);
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
        return _batches.LookAsync<T>(Checked(keys).Where(_core.IsCacheable), cancellationToken);
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
        IReadOnlyCollection<string>? collected = CacheText.CheckTags(tags);
        List<KeyValuePair<string, T>> pairs = [.. values];
        Checked(pairs.Select(pair => pair.Key));
        await Task.WhenAll(pairs.Select(pair => SetCoreAsync(pair.Key, pair.Value, policy, collected).AsTask())).ConfigureAwait(false);
    }

    /// <summary>Keys that take no part in caching are loaded beside the others, by a call of their own.</summary>
    private async ValueTask<IReadOnlyDictionary<string, T>> ReadManyAsync<TState, T>(List<string> keys, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, CancellationToken cancellationToken)
    {
        List<string> uncached = keys.FindAll(key => !_core.IsCacheable(key));
        if (uncached.Count == 0)
        {
            return await _batches.ReadAsync(keys, state, factory, policy, tags, cancellationToken).ConfigureAwait(false);
        }

        var all = new Dictionary<string, T>(StringComparer.Ordinal);
        foreach ((List<string> part, EntryPolicy how) in new[] { (keys.FindAll(_core.IsCacheable), policy), (uncached, _core.Policies.Uncached) })
        {
            if (part.Count > 0)
            {
                foreach ((string key, T value) in await _batches.ReadAsync(part, state, factory, how, tags, cancellationToken).ConfigureAwait(false))
                {
                    all[key] = value;
                }
            }
        }

        return all;
    }

    private static List<string> Checked(IEnumerable<string> keys)
    {
        List<string> all = [.. keys];
        all.ForEach(static key => ArgumentException.ThrowIfNullOrEmpty(key));
        return all;
    }
}
