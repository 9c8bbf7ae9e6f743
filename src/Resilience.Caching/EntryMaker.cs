using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching.Frames;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Serialization;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching;

/// <summary>What a value comes with.</summary>
/// <param name="Start">The invalidation count at which its making began.</param>
/// <param name="Tags">Its tags.</param>
/// <param name="LoadCost">What making it took, in milliseconds.</param>
/// <param name="ETag">Its validator.</param>
/// <param name="LastModified">Its source's time of last change.</param>
internal readonly record struct EntryFacts(long Start, TagState[]? Tags, long LoadCost, string? ETag, DateTimeOffset? LastModified);

/// <summary>An entry that was made, with its frame for the shared tier.</summary>
/// <param name="Entry">The local entry.</param>
/// <param name="Frame">The bytes for the shared tier; <see langword="null"/> when it gets none.</param>
/// <param name="TimeToLive">How long the shared tier keeps it.</param>
/// <param name="IsOversized">Whether the value is too large to be kept anywhere.</param>
internal readonly record struct MadeEntry<T>(LocalEntry<T> Entry, byte[]? Frame, TimeSpan TimeToLive, bool IsOversized);

/// <summary>Turns values into entries and frames, and back. All times are drawn here, once per write.</summary>
internal sealed class EntryMaker(CacheCore core)
{
    /// <summary>What an entry costs beyond its key and value: the objects that hold it, about.</summary>
    private const int Overhead = 200;

    /// <summary>Makes an entry of a value that was loaded or set.</summary>
    public MadeEntry<T> Make<T>(string key, T value, bool isAbsent, EntryPolicy policy, in EntryFacts facts, SharedStamp? stamp)
    {
        bool isShared = isAbsent || value is null || policy.ReuseInstances || ValueSharing<T>.IsShareable;
        bool writesFrame = stamp is { MayWrite: true } && policy.WritesShared;
        double factor = 1 + (policy.Jitter * ((2 * core.Random()) - 1));
        long fresh = Math.Max(1, (long)((isAbsent ? policy.NegativeExpiration : policy.Expiration) * factor));
        long local = Math.Min(fresh, Math.Max(1, (long)(policy.LocalExpiration * factor)));
        long useful = fresh + (isAbsent ? 0 : policy.StaleFor);
        long version = writesFrame ? SharedEnvelope.NewVersion() : 0;

        ReadOnlyMemory<byte> payload = default;
        byte[]? frame = null;
        long size = MeasureShared(value, isShared);
        bool isOversized = size > core.Settings.MaxPayload && (value is not string text || Encoding.UTF8.GetByteCount(text) > core.Settings.MaxPayload);
        if (isAbsent || value is null)
        {
            size = 0;
            if (writesFrame)
            {
                frame = WriteFrame(key, version, Header(isAbsent ? FrameFlags.Absent : FrameFlags.Null, fresh, useful, local, facts, stamp!), [], policy);
            }
        }
        else if (writesFrame || !isShared || (size < 0 && policy.Size == 0))
        {
            using var buffer = new PooledBuffer();
            bool isNeeded = writesFrame || !isShared;
            size = TrySerialize(value, buffer, isNeeded) ? buffer.Written.Length : 0;
            isOversized = size > core.Settings.MaxPayload;
            if (writesFrame && !isOversized)
            {
                frame = WriteFrame(key, version, Header(FrameFlags.None, fresh, useful, local, facts, stamp!), buffer.Written, policy);
            }

            if (!isShared)
            {
                payload = buffer.Written.ToArray();
            }
        }

        var shape = new EntryTimes(core.Clock.Milliseconds, Bounded(local, policy), fresh, useful, facts.LoadCost, 0);
        LocalEntry<T> entry = Build(key, value, isShared, isAbsent, payload, shape, policy, facts, version, Math.Max(0, size));
        return new MadeEntry<T>(entry, frame, TimeSpan.FromMilliseconds(useful), isOversized);
    }

    /// <summary>Makes an entry of a frame that was read, and a value of it for the one who read it.</summary>
    /// <returns>False when its payload cannot be read as this type: whole by its checksum, but another version of the type wrote it.</returns>
    public bool TryMake<T>(string key, in Frame frame, EntryPolicy policy, long start, TagState[]? tags, [NotNullWhen(true)] out LocalEntry<T>? entry, out T value)
    {
        FrameHeader header = frame.Header;
        bool isAbsent = (header.Flags & FrameFlags.Absent) != FrameFlags.None;
        bool isNull = (header.Flags & FrameFlags.Null) != FrameFlags.None;
        bool isShared = isAbsent || isNull || policy.ReuseInstances || ValueSharing<T>.IsShareable;

        // The writer's clock and ours may differ: an age is never negative, and nothing lives longer than it was given.
        long age = Math.Max(0, core.Time.GetUtcNow().ToUnixTimeMilliseconds() - header.CreatedAt);
        bool isExpired = frame.State == SharedEnvelope.Expired;
        long fresh = isExpired ? 0 : Math.Max(0, header.FreshFor - age);
        long useful = Math.Max(0, header.UsefulFor - age);
        value = default!;
        entry = null;
        if (!isAbsent && !isNull && !TryDeserialize(frame.Payload, out value))
        {
            return false;
        }

        var facts = new EntryFacts(start, tags, header.LoadCost, header.ETag, header.LastModified == 0 ? null : DateTimeOffset.FromUnixTimeMilliseconds(header.LastModified));
        var times = new EntryTimes(core.Clock.Milliseconds, Bounded(Math.Min(header.LocalFor, fresh), policy), fresh, useful, header.LoadCost, age);
        entry = Build(key, value, isShared, isAbsent, isShared ? default : frame.Payload, times, policy, facts, frame.Version, frame.Payload.Length);
        return true;
    }

    /// <summary>The value of an entry: the one that all share, or one of the caller's own.</summary>
    public T Materialise<T>(LocalEntry<T> entry) => entry is SharedEntry<T> shared
        ? shared.Value
        : core.Serializers.Get<T>().Deserialize(new ReadOnlySequence<byte>(((SerializedEntry<T>)entry).Payload));

    /// <summary>The wall-clock form of what a frame says of its value.</summary>
    private FrameHeader Header(FrameFlags flags, long fresh, long useful, long local, in EntryFacts facts, SharedStamp stamp) => new()
    {
        Flags = flags,
        CreatedAt = core.Time.GetUtcNow().ToUnixTimeMilliseconds(),
        FreshFor = fresh,
        UsefulFor = useful,
        LocalFor = local,
        LoadCost = (int)Math.Min(int.MaxValue, facts.LoadCost),
        NamespaceVersion = stamp.NamespaceVersion,
        Tags = stamp.Tags,
        ETag = facts.ETag,
        LastModified = facts.LastModified?.ToUnixTimeMilliseconds() ?? 0,
    };

    private byte[] WriteFrame(string key, long version, in FrameHeader header, ReadOnlySpan<byte> payload, EntryPolicy policy) =>
        FrameCodec.Write(key, version, header, payload, policy.Compression ? (int)core.Settings.CompressionThreshold : int.MaxValue);

    private LocalEntry<T> Build<T>(string key, T value, bool isShared, bool isAbsent, ReadOnlyMemory<byte> payload, in EntryTimes times, EntryPolicy policy, in EntryFacts facts, long version, long size)
    {
        long now = times.Now;
        long expires = now + times.Local;
        long sliding = isAbsent ? 0 : policy.Sliding;
        long slidingEnd = expires;
        if (sliding > 0)
        {
            expires = Math.Min(expires, now + sliding);
        }

        EntryExtras? extras = facts.ETag is null && facts.LastModified is null && sliding == 0
            ? null
            : new EntryExtras(facts.ETag, facts.LastModified, sliding, slidingEnd);
        LocalEntry<T> entry = isShared ? new SharedEntry<T>(value) : new SerializedEntry<T>(payload);
        entry.IsAbsent = isAbsent;
        entry.Tags = facts.Tags;
        entry.Version = version;
        entry.CreatedAt = now - times.Age;
        entry.Extras = extras;
        entry.Weight = policy.Size > 0 ? policy.Size : Overhead + (2L * key.Length) + size;
        entry.Priority = policy.Priority;
        entry.Stamp = facts.Start;
        entry.ActAt = ActAt(now, expires, sliding, isAbsent, times, policy);
        entry.ExpiresAt = expires;
        entry.DeadAt = Math.Max(expires, now + times.Useful);
        return entry;
    }

    /// <summary>When a reader first has more to do than to return the value.</summary>
    private long ActAt(long now, long expires, long sliding, bool isAbsent, in EntryTimes times, EntryPolicy policy)
    {
        long act = expires;
        if (sliding > 0)
        {
            // Renewed in steps of an eighth: a read costs nothing more until then, and the copy lives at most that much too short.
            act = Math.Min(act, now + Math.Max(1, sliding / 8));
        }

        if (isAbsent)
        {
            return act;
        }

        if (policy.EagerRefresh > 0)
        {
            double point = policy.EagerRefresh * (1 + (policy.Jitter * ((2 * core.Random()) - 1) * (1 - policy.EagerRefresh)));
            act = Math.Min(act, now - times.Age + (long)((times.Fresh + times.Age) * point));
        }

        if (policy.Beta > 0)
        {
            // XFetch (Vattani, Chierichetti, Lowenstein, 2015): an exponential lead. Drawn once per entry and node instead of once per
            // read, which refreshes once per node where the original refreshes once for whoever draws the longest lead.
            double lead = -times.LoadCost * policy.Beta * Math.Log(Math.Max(double.Epsilon, 1 - core.Random()));
            act = Math.Min(act, now + times.Fresh - (long)Math.Min(lead, times.Fresh));
        }

        return Math.Max(act, now);
    }

    /// <summary>A node that cannot hear of changes keeps its copies only for a short while.</summary>
    private long Bounded(long local, EntryPolicy policy) => core.IsBlind ? Math.Min(local, core.BlindSpan(policy)) : local;

    /// <summary>Serialises a value, or finds that it cannot be where that was only to measure it.</summary>
    private bool TrySerialize<T>(T value, PooledBuffer buffer, bool isNeeded)
    {
        try
        {
            core.Serializers.Get<T>().Serialize(value, buffer);
            return true;
        }
        catch (Exception) when (!isNeeded)
        {
            // An instance that is shared needs no serialiser; without one it is charged its overhead alone unless a Size is given.
            return false;
        }
    }

    private bool TryDeserialize<T>(ReadOnlyMemory<byte> payload, out T value)
    {
        try
        {
            value = core.Serializers.Get<T>().Deserialize(new ReadOnlySequence<byte>(payload));
            return true;
        }
        catch (Exception exception) when (exception is not NotSupportedException)
        {
            // Whole by its checksum and yet not readable: another version of the type wrote it. A miss, as every malformed input.
            value = default!;
            return false;
        }
    }

    /// <summary>The size in memory of a value that needs no serialising: -1 where only that would tell.</summary>
    private static long MeasureShared<T>(T value, bool isShared)
    {
        if (!isShared || value is null)
        {
            return value is null ? 0 : -1;
        }

        return value is string text ? 2L * text.Length
            : typeof(T).IsValueType && !RuntimeHelpers.IsReferenceOrContainsReferences<T>() ? Unsafe.SizeOf<T>()
            : value is byte[] bytes ? bytes.LongLength : -1;
    }

    private readonly record struct EntryTimes(long Now, long Local, long Fresh, long Useful, long LoadCost, long Age);
}
