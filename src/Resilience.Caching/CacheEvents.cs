using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Resilience.Context;

namespace Resilience.Caching;

/// <summary>What happens in a cache beside reads that hit: what failed, what was served stale, what was removed, what the shared tier did.</summary>
/// <remarks>
/// <para>Bounded and sampled: of each kind <see cref="PerSecond"/> a second are kept, the others are counted in the metrics alone. The last
/// <see cref="Kept"/> are there to be read; a listener gets those to come and loses the oldest when it is slower than they are.</para>
/// <para>Thread-safe. A listener runs on its own flow: nothing that it does can hold up a read.</para>
/// </remarks>
public sealed class CacheEvents
{
    /// <summary>How many events are kept to be read.</summary>
    public const int Kept = 256;

    /// <summary>How many events of one kind are noted in a second.</summary>
    public const int PerSecond = 16;

    private static readonly int Kinds = Enum.GetValues<CacheEventKind>().Length;

    private readonly CoarseClock _clock;
    private readonly TimeProvider _time;
    private readonly long[] _windows = new long[Kinds]; // per kind: the second in the upper 56 bits, how many in the lower 8
    private readonly Lock _lock = new(); // guards all below
    private readonly Queue<CacheEvent> _recent = new(Kept);
    private readonly List<Channel<CacheEvent>> _listeners = [];

    internal CacheEvents(CoarseClock clock, TimeProvider time)
    {
        _clock = clock;
        _time = time;
    }

    /// <summary>The last events, newest first.</summary>
    /// <param name="most">How many at the most. At least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="most"/> is below 1.</exception>
    public IReadOnlyList<CacheEvent> Recent(int most = Kept)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(most, 1);
        lock (_lock)
        {
            return [.. _recent.Reverse().Take(most)];
        }
    }

    /// <summary>The events from now on, until the token is cancelled, which ends the sequence.</summary>
    /// <param name="cancellationToken">Ends it.</param>
    public async IAsyncEnumerable<CacheEvent> ListenAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        Channel<CacheEvent> inbox = Channel.CreateBounded<CacheEvent>(new BoundedChannelOptions(Kept) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });
        lock (_lock)
        {
            _listeners.Add(inbox);
        }

        try
        {
            while (await WaitAsync(inbox.Reader, cancellationToken).ConfigureAwait(false))
            {
                while (inbox.Reader.TryRead(out CacheEvent? one))
                {
                    yield return one;
                }
            }
        }
        finally
        {
            lock (_lock)
            {
                _listeners.Remove(inbox);
            }
        }
    }

    /// <summary>Notes an event, unless enough of its kind were noted in this second. Cheap when it is not noted.</summary>
    internal void Raise(CacheEventKind kind, ReadOnlySpan<char> key, string? tag = null, Exception? failure = null)
    {
        if (!TryTake(kind))
        {
            return;
        }

        var made = new CacheEvent(kind, _time.GetUtcNow(), key.IsEmpty ? null : key.ToString(), tag, failure);
        lock (_lock)
        {
            if (_recent.Count == Kept)
            {
                _recent.Dequeue();
            }

            _recent.Enqueue(made);
            foreach (Channel<CacheEvent> listener in _listeners)
            {
                listener.Writer.TryWrite(made);
            }
        }
    }

    private static async ValueTask<bool> WaitAsync(ChannelReader<CacheEvent> reader, CancellationToken cancellationToken)
    {
        try
        {
            return await reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private bool TryTake(CacheEventKind kind)
    {
        ref long window = ref _windows[(int)kind];
        long second = (_clock.Milliseconds >> 10) << 8;
        while (true)
        {
            long seen = Volatile.Read(ref window);
            long next = (seen & ~0xFFL) == second ? seen + 1 : second | 1;
            if ((next & 0xFF) > PerSecond)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref window, next, seen) == seen)
            {
                return true;
            }
        }
    }
}
