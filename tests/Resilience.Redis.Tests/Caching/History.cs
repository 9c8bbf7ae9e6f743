using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Resilience.Redis.Tests.Caching;

/// <summary>
/// What happened on the nodes, and what is wrong with it. The source is a counter per key; a change is known on a node once the call that made
/// it has returned.
/// </summary>
/// <remarks>
/// Moments are drawn from one clock of events, so that "returned before it began" means just that, and carry milliseconds beside it for the bound across
/// nodes.
/// </remarks>
internal sealed class History
{
    private readonly ConcurrentQueue<Read> _reads = new();
    private readonly ConcurrentQueue<Change> _changes = new();
    private long _clock;

    public int Reads => _reads.Count;

    public IReadOnlyDictionary<string, int> Changes => _changes.GroupBy(change => change.How).ToDictionary(group => group.Key, group => group.Count());

    public Moment Now() => new(Interlocked.Increment(ref _clock), Environment.TickCount64);

    /// <summary>A read that began at a moment brought a version.</summary>
    public void AddRead(int node, int key, long version, Moment began) => _reads.Enqueue(new Read(node, key, version, began));

    /// <summary>A change of a key to a version has returned.</summary>
    public void AddChange(int node, int key, long version, string how, Moment returned) => _changes.Enqueue(new Change(node, key, version, how, returned));

    /// <summary>A violation in words; nothing when there is none.</summary>
    /// <param name="bound">Within how many milliseconds a node must know what another has changed.</param>
    public string? Check(long bound)
    {
        var byEvent = new Dictionary<(int Node, int Key), Newest>();
        var byTime = new Dictionary<(int Node, int Key), Newest>();
        foreach (IGrouping<(int Node, int Key), Change> group in _changes.GroupBy(change => (change.Node, change.Key)))
        {
            byEvent[group.Key] = new Newest(group, change => change.Returned.Event);
            byTime[group.Key] = new Newest(group, change => change.Returned.Milliseconds);
        }

        foreach (Read read in _reads)
        {
            Change? own = byEvent.GetValueOrDefault((read.Node, read.Key))?.Before(read.Began.Event);
            if (own is not null && read.Version < own.Version)
            {
                return Violation(read, own, "its own");
            }

            Change? other = byTime.GetValueOrDefault((1 - read.Node, read.Key))?.Before(read.Began.Milliseconds - bound);
            if (other is not null && read.Version < other.Version)
            {
                return Violation(read, other, "the other node's");
            }
        }

        return null;
    }

    private static string Violation(Read read, Change change, string whose) => string.Create(
        CultureInfo.InvariantCulture,
        $"Node {read.Node} read version {read.Version} of key {read.Key}, {read.Began.Milliseconds - change.Returned.Milliseconds} ms after {whose} {change.How} of version {change.Version} had returned.");

    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Moment(long Event, long Milliseconds);

    /// <summary>Changes in an order, and for each place the newest version up to it.</summary>
    private sealed class Newest
    {
        private readonly long[] _at;
        private readonly Change[] _newest;

        public Newest(IEnumerable<Change> changes, Func<Change, long> order)
        {
            Change[] sorted = [.. changes.OrderBy(order)];
            _at = Array.ConvertAll(sorted, change => order(change));
            _newest = sorted;
            for (int i = 1; i < sorted.Length; i++)
            {
                _newest[i] = sorted[i].Version > _newest[i - 1].Version ? sorted[i] : _newest[i - 1];
            }
        }

        public Change? Before(long moment)
        {
            int place = Array.BinarySearch(_at, moment);
            place = place < 0 ? ~place : place;
            while (place > 0 && _at[place - 1] >= moment)
            {
                place--; // several at one moment
            }

            return place == 0 ? null : _newest[place - 1];
        }
    }

    private sealed record Read(int Node, int Key, long Version, Moment Began);

    private sealed record Change(int Node, int Key, long Version, string How, Moment Returned);
}
