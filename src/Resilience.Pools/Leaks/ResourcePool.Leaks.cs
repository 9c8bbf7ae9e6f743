using System.Collections.Concurrent;
using System.Diagnostics;

namespace Resilience.Pools;

/// <content>Leases that are held too long.</content>
public sealed partial class ResourcePool<T>
{
    /// <summary>More call sites than this are not remembered.</summary>
    private const int MaxLeakySites = 256;

    /// <summary>Call sites that have leaked: their stacks are always recorded. <see langword="null"/> until there is one.</summary>
    private volatile ConcurrentDictionary<(string File, int Line), bool>? _leakySites;

    private bool IsLeaky(string? file, int line) => _leakySites is { } sites && sites.ContainsKey((file ?? "", line));

    /// <summary>The stack from the acquire's caller on.</summary>
    private static string CallersStack() => new StackTrace(skipFrames: 2, fNeedFileInfo: true).ToString();

    private void LookForLeak(PoolEntry<T> entry, long word, long now, PoolOptions options)
    {
        long version = EntryWord.Version(word);
        if (options.LeakThreshold == Timeout.InfiniteTimeSpan || now - entry.SeenAt < Milliseconds(options.LeakThreshold) || !EntryWord.IsLeased(entry.ReadWord(), version))
        {
            return;
        }

        bool reclaims = options.LeakAction == LeakAction.Reclaim;
        if (entry.ReportedVersion != version)
        {
            entry.ReportedVersion = version;
            PoolHolder holder = Holder(entry, now);
            if (!EntryWord.IsLeased(entry.ReadWord(), version))
            {
                // It came back at the last moment; the note on the holder may be of the next one.
                return;
            }

            Interlocked.Increment(ref _leaks);
            Interlocked.Exchange(ref _lastLeakAt, now);
            _metrics.Leaked(Name);
            Remember(holder);
            PoolsLog.Leaked(_logger, Name, holder.Age.TotalSeconds, holder.Where.Length > 0 ? holder.Where : "unknown", reclaims ? "it is reclaimed" : "it is left alone", holder.Stack ?? "(not sampled)");
        }

        if (reclaims && entry.TryEndLease(version, EntryState.Closing, out _))
        {
            // Whoever leaked the object may still use it: it is destroyed and never leased again.
            Interlocked.Increment(ref _reclaims);
            _metrics.Reclaimed(Name);
            EndUse(entry);
            BeginDestroy(entry);
        }
    }

    private void Remember(PoolHolder holder)
    {
        ConcurrentDictionary<(string, int), bool> sites = _leakySites ?? new();
        if (sites.Count < MaxLeakySites)
        {
            // Where the compiler could not say who calls, all such callers are one site: from now on their stacks tell them apart.
            sites.TryAdd((holder.File ?? "", holder.Line), true);
            _leakySites = sites;
            lock (_gate)
            {
                SetTellingUnderLock();
            }
        }
    }

    private static PoolHolder Holder(PoolEntry<T> entry, long now) => new()
    {
        Age = TimeSpan.FromMilliseconds(Math.Max(0, now - entry.LeasedAt)),
        Tag = entry.Tag,
        File = entry.File,
        Line = entry.Line,
        Stack = entry.Stack,
    };
}
