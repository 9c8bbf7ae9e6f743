using Resilience.Caching.Frames;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Invalidation;

/// <summary>Keeps what the node knows of tags in step with their versions in the shared tier.</summary>
internal sealed class TagVersions(CacheCore core, SharedTierClient shared)
{
    private TagState Namespace => core.Invalidations.Namespace;

    /// <summary>Whether the versions of the namespace and of tags are known.</summary>
    public bool AreKnown(TagState[]? tags)
    {
        long now = core.Clock.Milliseconds;
        return Namespace.IsKnown(now) && (tags is null || Array.TrueForAll(tags, tag => tag.IsKnown(now)));
    }

    /// <summary>
    /// Makes the versions of the namespace and of tags known, reading those that are not or no longer.
    /// </summary>
    /// <returns>Whether all are known.</returns>
    public async ValueTask<bool> EnsureAsync(TagState[]? tags, SharedBudget budget)
    {
        bool areUsable = AreKnown(tags);
        while (!areUsable && Unknown(tags) is { Length: > 0 } unknown)
        {
            // While the tier is out a read is to cost what a local miss costs.
            if (!shared.IsOpenForCalls || await ReadAsync(unknown, budget).ConfigureAwait(false) is not { } read)
            {
                return false;
            }

            areUsable = read;
        }

        return true;
    }

    /// <summary>The stamp for a value whose making begins now. The versions that aren't known leave it unfit for writing.</summary>
    public SharedStamp Take(TagState[]? tags)
    {
        long now = core.Clock.Milliseconds;
        var stamp = new SharedStamp { NamespaceVersion = Namespace.Known.Latest, TakenAt = now };
        bool allKnown = stamp.NamespaceVersion != 0 && !Namespace.IsRaisePending;
        if (tags is not null)
        {
            var stamped = new FrameTag[tags.Length];
            for (int i = 0; i < tags.Length; i++)
            {
                long version = tags[i].Known.Latest;
                allKnown &= version != 0 && !tags[i].IsRaisePending;
                stamped[i] = new FrameTag(tags[i].Name, version);
                if (version == 0)
                {
                    tags[i].NoteBlindUse();
                }
            }

            stamp.Tags = stamped;
        }

        if (stamp.NamespaceVersion == 0)
        {
            Namespace.NoteBlindUse();
        }

        stamp.MayWrite = allKnown;
        return stamp;
    }

    /// <summary>Lets tags that a factory chose become known, so that the next value with them may be shared. Nobody waits for it.</summary>
    public void LearnLater(TagState[] tags)
    {
        if (Array.Exists(tags, tag => tag.FirstKnownAt == long.MaxValue))
        {
            _ = EnsureAsync(tags, shared.Budget(hasStale: false)).AsTask();
        }
    }

    /// <summary>Replaces a stamp's tags by others that were chosen after it was taken.</summary>
    public static void Retag(SharedStamp stamp, TagState[]? tags)
    {
        var stamped = new FrameTag[tags?.Length ?? 0];
        for (int i = 0; i < stamped.Length; i++)
        {
            // A version that became known after the stamp may count an invalidation that the value is older than.
            TagState tag = tags![i];
            stamp.MayWrite &= tag.FirstKnownAt < stamp.TakenAt && !tag.IsRaisePending;
            stamped[i] = new FrameTag(tag.Name, tag.Known.Latest);
        }

        stamp.Tags = stamped;
    }

    /// <summary>How a frame stands against the versions that the node knows; all must have been made known before.</summary>
    public Standing Judge(in FrameHeader header, TagState[]? tags)
    {
        Standing standing = Judge(Namespace, header.NamespaceVersion);
        for (int i = 0; i < header.Tags.Length; i++)
        {
            standing = (Standing)Math.Max((int)standing, (int)Judge(tags![i], header.Tags[i].Version));
        }

        return standing;
    }

    /// <summary>Raises a tag's version for all nodes.</summary>
    /// <returns>The new version; the default when the shared tier is out of reach, in which case the raise stays pending.</returns>
    public async ValueTask<TagVersion> RaiseAsync(TagState tag, bool isRemoval)
    {
        long distrusts = tag.Distrusts;
        (SharedOutcome outcome, TagVersion version) = await shared.RaiseVersionAsync(core.KeyPrefix + tag.Name, isRemoval, tag.Known).ConfigureAwait(false);
        if (outcome != SharedOutcome.Done)
        {
            return default;
        }

        tag.Learn(version, Until(), distrusts, core.Invalidations.Count, core.Clock.Milliseconds);
        return version;
    }

    /// <summary>Takes in a version that another node announced.</summary>
    public void Hear(string name, TagVersion version)
    {
        TagState? tag = name == Invalidations.NamespaceTag ? Namespace : core.Invalidations.Tags.Find(name);
        if (tag is null)
        {
            // No entry has it; but a load may be under way whose factory chooses it later. Then once more, should one have done so meanwhile.
            core.Invalidations.Tags.Forget();
            tag = core.Invalidations.Tags.Find(name);
        }

        tag?.Hear(version, core.Invalidations.Count, core.Clock.Milliseconds);
    }

    private static Standing Judge(TagState tag, long version)
    {
        TagVersion known = tag.Known;
        return tag.IsRaisePending || version < known.Removed ? Standing.Gone : version < known.Latest ? Standing.Expired : Standing.Good;
    }

    /// <returns>Whether they may be used, with no distrust since; <see langword="null"/> where they could not be read.</returns>
    private async ValueTask<bool?> ReadAsync(TagState[] tags, SharedBudget budget)
    {
        long[] distrusts = Array.ConvertAll(tags, static tag => tag.Distrusts);
        string[] names = Array.ConvertAll(tags, tag => core.KeyPrefix + tag.Name);
        TagVersion[] floors = Array.ConvertAll(tags, static tag => tag.Known);
        (SharedOutcome outcome, TagVersion[]? versions) = await shared.ReadVersionsAsync(names, floors, budget).ConfigureAwait(false);
        if (outcome != SharedOutcome.Done)
        {
            return null;
        }

        bool areUsable = true;
        for (int i = 0; i < names.Length; i++)
        {
            areUsable &= tags[i].Learn(versions![i], Until(), distrusts[i], core.Invalidations.Count, core.Clock.Milliseconds);
        }

        return areUsable;
    }

    private TagState[] Unknown(TagState[]? tags)
    {
        long now = core.Clock.Milliseconds;
        return [.. (tags ?? []).Prepend(Namespace).Where(tag => !tag.IsKnown(now))];
    }

    private long Until() => core.Clock.Milliseconds + (long)core.Settings.Shared.VersionLifetime.TotalMilliseconds;
}
