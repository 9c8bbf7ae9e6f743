using Resilience.Caching.Flights;
using Resilience.Caching.Frames;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// Step 4: asks the shared tier, and answers from it if it has a fresh value. What it finds besides, a stale copy or the mark of a
/// removal, goes to the flight; the stamp says what a value that is loaded now may be written over.
/// </summary>
/// <remarks>However many calls it takes, those for a lease included, together they last no longer than one timeout: the soft one while a stale copy is at hand, else the hard one.</remarks>
internal sealed class SharedLook(CacheCore core, SharedWriter writer)
{
    /// <summary>Looks for one flight.</summary>
    public async ValueTask<SharedStamp> LookAsync<T>(Flight<T> flight)
    {
        if (writer.IsPending(flight.Key))
        {
            // What stands there is older than a write or removal of ours that is still to be made good.
            return new SharedStamp();
        }

        SharedBudget budget = core.Shared!.Budget(hasStale: flight.Stale is not null && flight.Policy.ReadsShared);

        // Versions first: what they bring may be an invalidation, and what is read after it is younger than that.
        bool isKnown = await EnsureVersionsAsync(flight, budget).ConfigureAwait(false);
        SharedStamp stamp = core.Versions!.Take(flight.Tags);
        stamp.MayWrite &= isKnown;
        stamp.Budget = budget;
        if (!flight.Policy.ReadsShared)
        {
            stamp.IsConditional = false;
            return stamp;
        }

        (SharedOutcome outcome, byte[]? value) = isKnown ? await core.Shared.ReadAsync(core.KeyPrefix + flight.Key, budget).ConfigureAwait(false) : default;
        if (outcome == SharedOutcome.Done && isKnown)
        {
            await AdoptAsync(flight, stamp, value, budget).ConfigureAwait(false);
            return stamp;
        }

        stamp.MayWrite = false;
        TrustBlindly(flight);
        return stamp;
    }

    /// <summary>Looks for the flights of a batch, which have the same tags: one reading of versions, one of values.</summary>
    public async ValueTask<SharedStamp[]> LookManyAsync<T>(IReadOnlyList<Flight<T>> flights)
    {
        TagState[]? tags = flights[0].Tags;
        bool reads = flights[0].Policy.ReadsShared;
        SharedBudget budget = core.Shared!.Budget(hasStale: reads && flights.All(flight => flight.Stale is not null));
        bool isKnown = await core.Versions!.EnsureAsync(tags, budget).ConfigureAwait(false);
        long start = core.Invalidations.Count.Current;
        var asked = new List<int>(flights.Count);
        var stamps = new SharedStamp[flights.Count];
        for (int i = 0; i < stamps.Length; i++)
        {
            bool isPending = writer.IsPending(flights[i].Key);
            flights[i].Start = start; // Nothing was read yet, so they may as well begin here.
            stamps[i] = core.Versions.Take(tags);
            stamps[i].MayWrite &= isKnown && !isPending;
            stamps[i].IsConditional = reads;
            if (!reads || isPending)
            {
                continue;
            }

            if (isKnown)
            {
                asked.Add(i);
            }
            else
            {
                TrustBlindly(flights[i]);
            }
        }

        if (asked.Count == 0)
        {
            return stamps;
        }

        (SharedOutcome outcome, byte[]?[]? values) = await core.Shared.ReadManyAsync([.. asked.Select(i => core.KeyPrefix + flights[i].Key)], budget).ConfigureAwait(false);
        if (outcome != SharedOutcome.Done)
        {
            foreach (int i in asked)
            {
                stamps[i].MayWrite = false;
                TrustBlindly(flights[i]);
            }

            return stamps;
        }

        var frames = new Frame?[asked.Count];
        var frameTags = new TagState[]?[asked.Count];
        for (int at = 0; at < asked.Count; at++)
        {
            (frames[at], frameTags[at]) = Read(flights[asked[at]], stamps[asked[at]], values![at]);
        }

        // The tags of all frames in one go; judging each frame finds them known.
        await core.Versions.EnsureAsync([.. frameTags.SelectMany(of => of ?? []).Distinct()], budget).ConfigureAwait(false);
        for (int at = 0; at < asked.Count; at++)
        {
            if (frames[at] is { } frame)
            {
                await JudgeAsync(flights[asked[at]], frame, frameTags[at], budget).ConfigureAwait(false);
            }
        }

        return stamps;
    }

    /// <summary>Looks again while another node loads.</summary>
    /// <returns>Whether the tier answered.</returns>
    public async ValueTask<bool> LookAgainAsync<T>(Flight<T> flight, SharedStamp stamp)
    {
        (SharedOutcome outcome, byte[]? value) = await core.Shared!.ReadAsync(core.KeyPrefix + flight.Key, stamp.Budget).ConfigureAwait(false);
        if (outcome == SharedOutcome.Done)
        {
            await AdoptAsync(flight, stamp, value, stamp.Budget).ConfigureAwait(false);
        }

        return outcome == SharedOutcome.Done;
    }

    private async ValueTask<bool> EnsureVersionsAsync(Flight flight, SharedBudget budget)
    {
        if (core.Versions!.AreKnown(flight.Tags))
        {
            return true;
        }

        bool known = await core.Versions.EnsureAsync(flight.Tags, budget).ConfigureAwait(false);
        if (known)
        {
            // Nothing was read yet, so the flight may as well begin here.
            flight.Start = core.Invalidations.Count.Current;
        }

        return known;
    }

    private ValueTask AdoptAsync<T>(Flight<T> flight, SharedStamp stamp, byte[]? value, SharedBudget budget)
    {
        (Frame? frame, TagState[]? tags) = Read(flight, stamp, value);
        return frame is { } whole ? JudgeAsync(flight, whole, tags, budget) : default;
    }

    /// <summary>Reads what the shared tier had. Anything but a whole frame of the key is no value.</summary>
    private (Frame? Frame, TagState[]? Tags) Read<T>(Flight<T> flight, SharedStamp stamp, byte[]? value)
    {
        stamp.ObservedVersion = SharedEnvelope.Version(value);
        if (value is null)
        {
            return default;
        }

        if (value.Length >= SharedEnvelope.Size && SharedEnvelope.State(value) == SharedEnvelope.Tombstone)
        {
            // Removed, by whomever: our own copy, if it is no younger, is gone with it.
            DropStale(flight);
            return default;
        }

        if (!FrameCodec.TryRead(flight.Key, value, core.Settings.MaxPayload, out Frame frame))
        {
            core.NoteBadFrame(flight.Key);
            return default;
        }

        return (frame, core.Invalidations.Resolve([.. frame.Header.Tags.Select(tag => tag.Name)]));
    }

    /// <summary>Judges a frame; answers with it if it is fresh, keeps it as the stale copy if that is what it is.</summary>
    private async ValueTask JudgeAsync<T>(Flight<T> flight, Frame frame, TagState[]? tags, SharedBudget budget)
    {
        if (!await core.Versions!.EnsureAsync(tags, budget).ConfigureAwait(false))
        {
            return;
        }

        Standing standing = core.Versions.Judge(frame.Header, tags);
        if (standing == Standing.Gone)
        {
            DropStale(flight);
            return;
        }

        if (flight.IsRefresh && flight.Stale?.Version == frame.Version)
        {
            return; // What is to be refreshed; a newer one, of another node, would have done.
        }

        if (!core.Entries.TryMake(flight.Key, frame, flight.Policy, flight.Start, tags, out LocalEntry<T>? entry, out T value))
        {
            core.NoteBadFrame(flight.Key);
            return;
        }

        long now = core.Clock.Milliseconds;
        if (standing == Standing.Good && now < entry.ExpiresAt)
        {
            Answer(flight, entry, value, tags);
            return;
        }

        entry.ExpiresAt = Math.Min(entry.ExpiresAt, now);
        entry.ActAt = Math.Min(entry.ActAt, now);
        lock (flight.Stripe.Lock)
        {
            // A removal that came after this was read is not to be undone by it.
            if (!flight.IsStaleDropped && (flight.Stale is null || flight.Stale.CreatedAt <= entry.CreatedAt))
            {
                flight.Stale = entry;
            }
        }
    }

    private void Answer<T>(Flight<T> flight, LocalEntry<T> entry, T value, TagState[]? tags)
    {
        bool isSame = flight.Stale?.Version == entry.Version;
        lock (flight.Stripe.Lock)
        {
            flight.Tags = tags;
            if (flight.IsListed && flight.Policy.WritesLocal && core.Invalidations.IsCurrent(flight.Start, tags))
            {
                core.Local.Set(flight.Key, entry);
            }

            flight.IsCommitted = true;
            flight.AnswerUnderLock(value, entry, CacheOrigin.Shared, isStale: false);
        }

        core.Statistics.Add(isSame ? CacheCount.Revalidated : CacheCount.SharedHit);
    }

    /// <summary>The key was removed in the shared tier since our copy was made.</summary>
    private void DropStale<T>(Flight<T> flight)
    {
        lock (flight.Stripe.Lock)
        {
            if (flight.Stale is { } stale)
            {
                core.Local.Remove(flight.Key, stale);
                flight.Stale = null;
            }
        }
    }

    /// <summary>
    /// The shared tier is out of reach: a fresh copy that should be compared with it holds for as long as the settings let a node be blind.
    /// </summary>
    private void TrustBlindly<T>(Flight<T> flight)
    {
        long now = core.Clock.Milliseconds;
        long end = core.DistrustedSince + core.BlindSpan(flight.Policy);
        lock (flight.Stripe.Lock)
        {
            if (flight is { IsListed: true, Stale: { } entry } && now < end && now < entry.ExpiresAt && core.Invalidations.Judge(entry) == Standing.Suspect)
            {
                entry.ExpiresAt = Math.Min(entry.ExpiresAt, end);
                entry.ActAt = Math.Min(entry.ActAt, end);
                entry.Stamp = Math.Max(entry.Stamp, flight.Start);
                flight.AnswerUnderLock(default!, entry, CacheOrigin.Local, isStale: false);
            }
        }
    }
}
