using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// Step 7: makes what the source gave the key's value and the flight's answer, unless an invalidation of the key, of one of its tags or of
/// the namespace came since the flight began; then only those get it who wait already. The local tier at once, the shared tier in the
/// background, or awaited where the settings or a lease say so.
/// </summary>
internal sealed class LoadCommit(CacheCore core, SharedWriter writer)
{
    public ValueTask CommitAsync<T>(Flight<T> flight, Loaded<T> loaded, SharedStamp? stamp)
    {
        (T value, CacheLoad<T>? load, long cost) = loaded;
        EntryPolicy policy = load?.Options is { } options ? core.Policies.Get(options) : flight.Policy;
        TagState[]? tags = flight.Tags;
        if (load is not null && ChosenTags(load, tags) is { } chosen)
        {
            tags = chosen;
            if (stamp is not null)
            {
                TagVersions.Retag(stamp, tags);
                core.Versions!.LearnLater(tags);
            }
        }

        if (load?.Verdict == LoadVerdict.NotModified)
        {
            value = core.Entries.Materialise(load.Stale!);
        }

        if (stamp is not null && core.Clock.Milliseconds - stamp.TakenAt > core.Settings.Shared.TombstoneLifetime.TotalMilliseconds)
        {
            // The mark of a removal that came during the load may have gone again, and nothing would refuse the value.
            stamp.MayWrite = false;
        }

        bool isAbsent = load?.Verdict == LoadVerdict.Absent;
        bool isKept = !isAbsent || policy.NegativeExpiration > 0;
        var facts = new EntryFacts(flight.Start, tags, cost, load?.ETag, load?.LastModified);
        MadeEntry<T> made = core.Entries.Make(flight.Key, value, isAbsent, policy, facts, isKept ? stamp : null);
        if (made.IsOversized)
        {
            core.NoteOversized<T>(flight.Key);
        }

        SharedWrite? write = WriteOf(flight.Key, made, isKept, stamp, policy);
        bool isAwaited = write is not null && (core.Settings.Shared.AwaitWrites || stamp!.Fence != 0);
        if (!TryStore(flight, value, made, isKept, tags, policy, isAwaited))
        {
            core.Statistics.Add(CacheCount.Discarded);
            write = null;
        }
        else if (!isAbsent && value is not null)
        {
            // A null is a value to the cache, but no proof that the key exists: it is what most sources say of one that does not.
            core.Guard?.Exists(flight.Key);
        }

        return write is { } due ? WriteAsync(flight, value, made.Entry, due, isAwaited)
            : isAwaited ? AnswerLate(flight, value, made.Entry)
            : default;
    }

    /// <summary>The tags that the factory decided on, or that a value that is not modified had before; <see langword="null"/> for those of the call.</summary>
    private TagState[]? ChosenTags<T>(CacheLoad<T> load, TagState[]? declared)
    {
        if (load.Tags is { } chosen)
        {
            return core.Invalidations.Resolve(chosen) ?? [];
        }

        // It is the same value, so whatever it was known by before still holds.
        return load is { Verdict: LoadVerdict.NotModified, Stale.Tags: { } before } ? [.. before.Union(declared ?? [])] : null;
    }

    /// <summary>What goes to the shared tier: the frame, or the mark of a removal where the source says that there is nothing and nobody is to remember it.</summary>
    private SharedWrite? WriteOf<T>(string key, in MadeEntry<T> made, bool isKept, SharedStamp? stamp, EntryPolicy policy)
    {
        if (stamp is null || made.IsOversized)
        {
            return null;
        }

        byte[]? value = made.Frame;
        TimeSpan timeToLive = made.TimeToLive;
        if (!isKept && stamp is { MayWrite: true, ObservedVersion: not 0 } && policy.WritesShared)
        {
            value = SharedEnvelope.NewTombstone();
            timeToLive = core.Settings.Shared.TombstoneLifetime;
        }

        return value is null ? null : new SharedWrite(core.KeyPrefix + key, value, timeToLive, stamp.IsConditional, stamp.ObservedVersion, stamp.Fence);
    }

    /// <summary>Stores and answers in one step, so that nobody sees the one without the other.</summary>
    /// <returns>Whether the value is the key's now: no invalidation came since the flight began.</returns>
    private bool TryStore<T>(Flight<T> flight, T value, in MadeEntry<T> made, bool isKept, TagState[]? tags, EntryPolicy policy, bool answersLater)
    {
        lock (flight.Stripe.Lock)
        {
            flight.Tags = tags;
            bool isStored = flight.IsListed && core.Invalidations.IsCurrent(flight.Start, tags);
            if (isStored && policy.WritesLocal && !made.IsOversized)
            {
                if (isKept)
                {
                    core.Local.Set(flight.Key, made.Entry);
                }
                else
                {
                    core.Local.Remove(flight.Key);
                }
            }

            flight.IsCommitted = true;
            if (!answersLater)
            {
                flight.AnswerUnderLock(value, made.Entry, CacheOrigin.Source, isStale: false);
            }

            return isStored;
        }
    }

    private async ValueTask WriteAsync<T>(Flight<T> flight, T value, LocalEntry<T> entry, SharedWrite write, bool isAwaited)
    {
        Task writing = writer.WriteLoadedAsync(flight, entry, write, mustFinish: isAwaited);
        if (isAwaited || !core.Shared!.IsAtomic)
        {
            // Without compare-and-set the flight stays in the list until its write is done, so that a removal can wait for it.
            await writing.ConfigureAwait(false);
        }

        flight.Answer(value, entry, CacheOrigin.Source, isStale: false);
    }

    private static ValueTask AnswerLate<T>(Flight<T> flight, T value, LocalEntry<T> entry)
    {
        flight.Answer(value, entry, CacheOrigin.Source, isStale: false);
        return default;
    }
}
