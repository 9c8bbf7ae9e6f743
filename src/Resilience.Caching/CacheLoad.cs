using Resilience.Caching.Local;

namespace Resilience.Caching;

/// <summary>What a factory sees of the load that it is run for, and what it may say about its outcome.</summary>
/// <typeparam name="T">The type of the value.</typeparam>
/// <remarks>For use by the one factory call that it was given to; not thread-safe.</remarks>
public sealed class CacheLoad<T>
{
    private readonly Func<LocalEntry<T>, T> _materialise;
    private readonly LocalEntry<T>? _stale;

    internal CacheLoad(string key, LocalEntry<T>? stale, Func<LocalEntry<T>, T> materialise)
    {
        Key = key;
        _stale = stale;
        _materialise = materialise;
        ETag = stale?.Extras?.ETag;
        LastModified = stale?.Extras?.LastModified;
    }

    /// <summary>The key.</summary>
    public string Key { get; }

    /// <summary>Whether a stale copy is at hand.</summary>
    public bool HasStaleValue => _stale is { IsAbsent: false };

    /// <summary>The stale copy. A new one with each call where the type is mutable.</summary>
    /// <exception cref="InvalidOperationException">There is none.</exception>
    public T StaleValue => HasStaleValue ? _materialise(_stale!) : throw new InvalidOperationException("The load has no stale value. Ask HasStaleValue first.");

    /// <summary>The validator to keep with the value, such as an HTTP ETag. It begins as the stale copy's. At most 1,024 characters.</summary>
    /// <exception cref="ArgumentException">It is longer.</exception>
    public string? ETag
    {
        get;
        set => field = value is null || value.Length <= CacheText.MaxTagLength
            ? value
            : throw new ArgumentException($"A validator may have {CacheText.MaxTagLength} characters; this one has {value.Length}.", nameof(value));
    }

    /// <summary>The source's time of last change, to keep with the value. It begins as the stale copy's.</summary>
    public DateTimeOffset? LastModified { get; set; }

    /// <summary>Options for this entry, decided after the fact; what is <see langword="null"/> in them stays as the cache's own setting. Unset, the call's options hold.</summary>
    public CacheEntryOptions? Options { get; set; }

    /// <summary>
    /// Tags for this entry, decided after the fact, in place of the call's; an empty collection for none. Unset, the call's hold, and after
    /// <see cref="NotModified"/> those that the value had as well. The first value with a tag that this node has not met before is kept in the
    /// local tier alone.
    /// </summary>
    /// <exception cref="ArgumentException">There are more than 1,024, or one is empty, <c>*</c>, longer than 1,024 characters or no valid text.</exception>
    public IReadOnlyCollection<string>? Tags
    {
        get;
        set => field = value is null ? null : CacheText.CheckTags(value) ?? [];
    }

    /// <summary>
    /// A scope of services that lives as long as this load, when <see cref="CacheEntryOptions.FreshScope"/> was set; the application's own
    /// otherwise. A load outlives the request that began it: services of the request's scope may be gone.
    /// </summary>
    public IServiceProvider? Services { get; internal set; }

    internal LoadVerdict Verdict { get; private set; }

    /// <summary>Says that the stale copy still holds: it becomes fresh again.</summary>
    /// <returns>What the factory is to return.</returns>
    /// <exception cref="InvalidOperationException">There is no stale copy.</exception>
    public T NotModified()
    {
        if (!HasStaleValue)
        {
            throw new InvalidOperationException("The load has no stale value that could be unmodified. Ask HasStaleValue first.");
        }

        Verdict = LoadVerdict.NotModified;
        return default!;
    }

    /// <summary>Says that there is no such thing, which is remembered for <see cref="CacheEntryOptions.NegativeExpiration"/>; callers get the type's default.</summary>
    /// <returns>What the factory is to return.</returns>
    public T Absent()
    {
        Verdict = LoadVerdict.Absent;
        return default!;
    }

    internal LocalEntry<T>? Stale => _stale;
}

/// <summary>What a factory said of its outcome.</summary>
internal enum LoadVerdict
{
    Value,
    NotModified,
    Absent,
}
