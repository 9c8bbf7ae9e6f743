using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching;

/// <summary>
/// Sets and invalidations. When one of them has returned, no later call on this node sees an older value, whatever was in flight.
/// </summary>
/// <remarks>
/// Each works in three steps: the local tier and the flights at once; the shared tier; then the flights once more, because one that began
/// in between may have read from the shared tier what the second step was about to replace there.
/// </remarks>
internal sealed class WritePath(CacheCore core, SharedWriter writer)
{
    public async ValueTask SetAsync<T>(string key, T value, EntryPolicy policy, IReadOnlyCollection<string>? tags)
    {
        core.Statistics.Add(CacheCount.Invalidation);
        TagState[]? states = core.Invalidations.Resolve(tags);
        SharedStamp? stamp = null;
        SharedBudget budget = default;
        if (core.Shared is not null && policy.WritesShared)
        {
            budget = core.Shared.Budget(hasStale: false);
            bool known = await core.Versions!.EnsureAsync(states, budget).ConfigureAwait(false);
            stamp = core.Versions.Take(states);

            // Without known versions the frame is good for nobody but is still logged: its replay stamps nothing and removes.
            stamp.MayWrite &= known;
        }

        long start = core.Invalidations.Count.Current;
        MadeEntry<T> made = core.Entries.Make(key, value, isAbsent: false, policy, new EntryFacts(start, states, 0, null, null), stamp);
        if (made.IsOversized)
        {
            core.NoteOversized<T>(key);
            await InvalidateAsync(key, isRemoval: true).ConfigureAwait(false);
            return;
        }

        KeyStripe stripe = core.Stripes[key];
        List<Task>? writing = core.Shared is { IsAtomic: false } ? [] : null;
        lock (stripe.Lock)
        {
            stripe.DoomUnderLock(key, isRemoval: true, writing);
            if (policy.WritesLocal)
            {
                core.Local.Set(key, made.Entry);
            }
            else
            {
                core.Local.Remove(key);
            }
        }

        if (value is not null)
        {
            core.Guard?.Exists(key);
        }

        if (core.Shared is null || !policy.WritesShared)
        {
            return;
        }

        await WaitAsync(writing).ConfigureAwait(false);
        if (made.Frame is not null)
        {
            await writer.SetAsync(key, new SharedWrite(core.KeyPrefix + key, made.Frame, made.TimeToLive), budget).ConfigureAwait(false);
        }
        else
        {
            await writer.InvalidateAsync(key, isRemoval: true, budget).ConfigureAwait(false);
        }

        lock (stripe.Lock)
        {
            stripe.DoomUnderLock(key, isRemoval: true);
            if (core.Local.Find(key) is { } current && !ReferenceEquals(current, made.Entry))
            {
                // A read that found the older value there, or another write that ran at the same time: which of the two the shared tier
                // took last, only it knows.
                core.Local.Remove(key);
            }
        }
    }

    /// <summary>Removes or expires a key.</summary>
    public async ValueTask InvalidateAsync(string key, bool isRemoval)
    {
        core.Statistics.Add(CacheCount.Invalidation);
        core.Events.Raise(isRemoval ? CacheEventKind.Removed : CacheEventKind.Expired, key);
        List<Task>? writing = core.Shared is { IsAtomic: false } ? [] : null;
        InvalidateLocal(key, isRemoval, writing);
        if (core.Shared is null)
        {
            return;
        }

        await WaitAsync(writing).ConfigureAwait(false);
        await writer.InvalidateAsync(key, isRemoval, core.Shared.Budget(hasStale: false)).ConfigureAwait(false);
        InvalidateLocal(key, isRemoval, null);
    }

    /// <summary>Removes or expires all entries of a tag; <see cref="Invalidations.NamespaceTag"/> is everything.</summary>
    public async ValueTask InvalidateTagAsync(string name, bool isRemoval)
    {
        core.Statistics.Add(CacheCount.Invalidation);
        core.Events.Raise(CacheEventKind.TagInvalidated, default, name);
        TagState tag = name == Invalidations.NamespaceTag ? core.Invalidations.Namespace : core.Invalidations.Tags.Get(name);
        tag.Invalidate(core.Invalidations.Count, isRemoval);
        if (ReferenceEquals(tag, core.Invalidations.Namespace) && isRemoval)
        {
            // The number has hidden the entries already; this gives their memory back.
            core.Local.Clear();
        }

        if (core.Shared is null)
        {
            return;
        }

        await writer.RaiseAsync(tag, isRemoval).ConfigureAwait(false);
        tag.Invalidate(core.Invalidations.Count, isRemoval);
    }

    /// <summary>Takes in what another node announced of a key.</summary>
    public void HearKey(string key, long version, bool isRemoval)
    {
        core.Statistics.Add(CacheCount.Invalidation);
        KeyStripe stripe = core.Stripes[key];
        lock (stripe.Lock)
        {
            if (core.Local.Find(key) is { } entry && entry.Version == version && version != 0)
            {
                // The very value that was announced: read from the shared tier before the news came. Another flight may have read the one before it.
                stripe.DoomUnderLock(key, isRemoval: false);
                return;
            }
        }

        InvalidateLocal(key, isRemoval, null);
    }

    private void InvalidateLocal(string key, bool isRemoval, List<Task>? writing)
    {
        KeyStripe stripe = core.Stripes[key];
        lock (stripe.Lock)
        {
            stripe.DoomUnderLock(key, isRemoval, writing);
            if (isRemoval)
            {
                core.Local.Remove(key);
            }
            else if (core.Local.Find(key) is { } entry)
            {
                long now = core.Clock.Milliseconds;
                entry.ExpiresAt = Math.Min(entry.ExpiresAt, now);
                entry.ActAt = Math.Min(entry.ActAt, now);
            }
        }
    }

    /// <summary>Waits for writes that a tier without compare-and-set would let overtake what comes next.</summary>
    private static async ValueTask WaitAsync(List<Task>? writing)
    {
        if (writing is { Count: > 0 })
        {
            await Task.WhenAll(writing).ConfigureAwait(false);
        }
    }
}
