using System.Collections.Immutable;
using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Context;

namespace Resilience.Caching.Flights;

/// <summary>
/// One load of one key, shared by all who want it meanwhile. It belongs to nobody of them: its token is cancelled when the last one has
/// left or its time is up, not when the first one gave up.
/// </summary>
/// <remarks>
/// A flight is answered once, with a value or a failure, and may go on after its answer (a stale copy was handed out, the load
/// continues). It leaves the stripe's list when it is done, doomed by an invalidation of its key, abandoned at its load timeout, or left
/// by its last waiter; a flight that is not in the list keeps nothing of what it still brings. One that nobody but its leader has ever seen
/// is used again for another load: see <see cref="Recycle"/>.
/// </remarks>
internal abstract class Flight
{
    private bool _isAnswered;
    private volatile bool _isAbandoned;
    private long _start;
    private TagState[]? _tags;
    private FlightExtras? _extras;

    public string Key { get; private set; } = null!;

    /// <summary>The node's invalidation count when the flight began: what it brings is older than every higher number. It may rise while nothing was read yet.</summary>
    public long Start
    {
        get => Volatile.Read(ref _start);
        set => Volatile.Write(ref _start, value);
    }

    public EntryPolicy Policy { get; private set; } = null!;

    /// <summary>The tags of the call that began it; a factory may decide on others.</summary>
    public TagState[]? Tags
    {
        get => _tags;
        set
        {
            HasOtherTags |= !ReferenceEquals(value, _tags);
            _tags = value;
        }
    }

    /// <summary>Whether it has other tags than its call declared.</summary>
    public bool HasOtherTags { get; private set; }

    public KeyStripe Stripe { get; private set; } = null!;

    /// <summary>The next of the stripe's list. Guarded by the stripe.</summary>
    public Flight? Next { get; set; }

    /// <summary>Whether it is in the stripe's list. Guarded by the stripe.</summary>
    public bool IsListed { get; set; }

    /// <summary>Whether an invalidation of the key came. Guarded by the stripe for writing.</summary>
    public bool IsDoomed { get; set; }

    /// <summary>Who waits: callers, and the flight itself where it runs in the background. Guarded by the stripe.</summary>
    public int Waiters { get; set; }

    /// <summary>The flight inside whose factory this one was started, if any.</summary>
    public Flight? Outer
    {
        get => _extras?.Outer;
        set
        {
            if (value is not null)
            {
                Extras.Outer = value;
            }
        }
    }

    /// <summary>The flights that one factory call loads together with this one; <see langword="null"/> for a load of its own.</summary>
    public FlightBatch? Batch
    {
        get => _extras?.Batch;
        set => Extras.Batch = value;
    }

    /// <summary>For what this one's factory waits at the moment, each wait with the flights that it needs: how factories that wait for one another are found.</summary>
    public ImmutableHashSet<IReadOnlyList<Flight>> Waits => _extras?.Waits ?? [];

    /// <summary>What the cache that flies it is, to tell equal keys of different caches apart.</summary>
    public object Owner => Stripe.Owner;

    /// <summary>What ends it early, and what its factory is given: both the token and the mark that says whose factory it is.</summary>
    public FlightMark Cancellation { get; private set; } = null!;

    /// <summary>The failure with which it was answered, if it was one.</summary>
    public ExceptionDispatchInfo? Failure => _extras?.Failure;

    /// <summary>Whether it was answered. Written under the stripe's lock; the answer is complete when it is seen.</summary>
    public bool IsAnswered => Volatile.Read(ref _isAnswered);

    /// <summary>The timer of the load: soft timeout first, then load timeout.</summary>
    public ITimer? Timer
    {
        get => _extras?.Timer;
        set => Extras.Timer = value;
    }

    /// <summary>Whether the load has a place among the cache's concurrent loads. Exchanged, so that it is given back once.</summary>
    public bool HasPermit;

    /// <summary>Whether something beside the leader and the stripe's list holds on to it: the write to the shared tier, or a pipeline that its factory runs in.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Whether it has come to its end: nothing runs any more that its load timeout would have to end. Guarded by the stripe.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Whether the load timeout gave the load up: nothing that it still brings is of use.</summary>
    public bool IsAbandoned
    {
        get => _isAbandoned;
        set => _isAbandoned = value;
    }

    /// <summary>The deadline of the request that began it, boxed; <see langword="null"/> where it had none or the flight runs in the background.</summary>
    public object? LeaderDeadline
    {
        get => _extras?.LeaderDeadline;
        set
        {
            if (value is not null)
            {
                Extras.LeaderDeadline = value;
            }
        }
    }

    /// <summary>
    /// Whether it failed when its leader's request had no time left, which bounds what the factory calls: that says nothing about the
    /// source, and whoever has time left tries with that.
    /// </summary>
    public bool IsOutOfLeadersTime(Exception? failure) =>
        failure is DeadlineExceededException || (failure is not null && LeaderDeadline is Deadline { IsExpired: true });

    /// <summary>Whether what the source or the shared tier gave has become the key's value: whatever fails afterwards is no failure of the load.</summary>
    public bool IsCommitted { get; set; }

    /// <summary>The lease under which the load runs, given back when the flight is over or abandoned.</summary>
    public LeaseHolder? Lease
    {
        get => _extras?.Lease;
        set => Extras.Lease = value;
    }

    /// <summary>The scope of services of the load, disposed when the flight is over.</summary>
    public IAsyncDisposable? Scope
    {
        get => _extras?.Scope;
        set => Extras.Scope = value;
    }

    /// <summary>When the load began, by the cache's clock.</summary>
    public long BeganAt { get; set; }

    /// <summary>Whether it renews a value that is still fresh.</summary>
    public bool IsRefresh { get; set; }

    /// <summary>Whether the flight's timer is on its second leg.</summary>
    public bool SoftPassed { get; set; }

    /// <summary>The write to the shared tier that is under way, for those who must not overtake it.</summary>
    public Task? Writing
    {
        get => _extras?.Writing;
        set => Extras.Writing = value;
    }

    /// <summary>Forgets the stale copy: a removal is not to be undone by it.</summary>
    public abstract void DropStale();

    /// <summary>Whether a caller of these flags may wait for it.</summary>
    public bool Suits(string key, HybridCacheEntryFlags flags) =>
        string.Equals(Key, key, StringComparison.Ordinal) && Policy.Flags == flags && (!_isAnswered || Failure is null);

    public void BeginWait(IReadOnlyList<Flight> wait) => Extras.BeginWait(wait);

    public void EndWait(IReadOnlyList<Flight> wait) => Extras.EndWait(wait);

    /// <summary>Gives the lease back, in the background, if there is one: others need not wait any longer.</summary>
    public void ReleaseLease()
    {
        if (Lease is { } lease)
        {
            Lease = null;
            _ = lease.DisposeAsync().AsTask();
        }
    }

    /// <summary>A task that ends with the answer. Called under the stripe's lock.</summary>
    public Task AnsweredUnderLock() =>
        _isAnswered ? Task.CompletedTask : (Extras.Answered ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Answers with a failure, unless it was answered.</summary>
    public void Fail(ExceptionDispatchInfo failure)
    {
        lock (Stripe.Lock)
        {
            if (!_isAnswered)
            {
                Extras.Failure = failure;
                AnswerUnderLock();
            }
        }
    }

    /// <summary>Ends the timer and the mark and takes the flight off the list. Nobody is left waiting: who has no answer yet is told that there is nothing.</summary>
    public void Finish()
    {
        lock (Stripe.Lock)
        {
            IsOver = true;
            Stripe.RemoveUnderLock(this);
            if (!_isAnswered)
            {
                AnswerUnderLock();
            }
        }

        Timer?.Dispose();
        Cancellation.End();
    }

    /// <summary>
    /// Gives a flight that is over, and that nobody but its leader can have got hold of, back for another load: nobody joined it, nothing was
    /// made that calls back to it, and no code inside its factory asked for it. For most misses with a factory that completes at once.
    /// </summary>
    public void Recycle()
    {
        if (!IsOver || Waiters != 1 || IsHeld || _extras is not null || Cancellation.WasSeen)
        {
            return;
        }

        Clear();
        Keep();
    }

    /// <summary>Begins anew.</summary>
    protected void Begin(string key, long start, EntryPolicy policy, TagState[]? tags, KeyStripe stripe)
    {
        Key = key;
        Start = start;
        Policy = policy;
        _tags = tags;
        Stripe = stripe;
        Cancellation = new FlightMark(this);
    }

    /// <summary>Becomes as new, without a reference to anything.</summary>
    protected virtual void Clear()
    {
        Key = null!;
        Policy = null!;
        Stripe = null!;
        Cancellation = null!;
        _tags = null;
        Next = null;
        _isAnswered = _isAbandoned = HasOtherTags = IsListed = IsDoomed = IsCommitted = IsOver = IsRefresh = SoftPassed = HasPermit = IsHeld = false;
        Waiters = 0;
        BeganAt = 0;
    }

    /// <summary>Lies ready for the next load of its thread.</summary>
    protected abstract void Keep();

    private FlightExtras Extras => _extras ?? Interlocked.CompareExchange(ref _extras, new FlightExtras(), null) ?? _extras!;

    protected void AnswerUnderLock()
    {
        Volatile.Write(ref _isAnswered, true);
        if (_extras is { } extras)
        {
            extras.Answered?.TrySetResult();
            extras.Batch?.NoteAnswer();
        }
    }
}

/// <summary>What few flights have: only those that wait, that are part of something, or that run in a request.</summary>
internal sealed class FlightExtras
{
    private ImmutableHashSet<IReadOnlyList<Flight>> _waits = [];

    public TaskCompletionSource? Answered { get; set; }

    public ExceptionDispatchInfo? Failure { get; set; }

    public Flight? Outer { get; set; }

    public FlightBatch? Batch { get; set; }

    public ImmutableHashSet<IReadOnlyList<Flight>> Waits => Volatile.Read(ref _waits);

    public ITimer? Timer { get; set; }

    public object? LeaderDeadline { get; set; }

    public LeaseHolder? Lease { get; set; }

    public IAsyncDisposable? Scope { get; set; }

    public Task? Writing { get; set; }

    /// <summary>A full fence: who notes a wait looks at others' afterwards.</summary>
    public void BeginWait(IReadOnlyList<Flight> wait) => ImmutableInterlocked.Update(ref _waits, static (waits, one) => waits.Add(one), wait);

    public void EndWait(IReadOnlyList<Flight> wait) => ImmutableInterlocked.Update(ref _waits, static (waits, one) => waits.Remove(one), wait);
}

/// <summary>A flight with the type of its value.</summary>
internal abstract class Flight<T> : Flight
{
    /// <summary>The value as the source or the shared tier gave it: for the one who began the flight.</summary>
    public T Value { get; private set; } = default!;

    /// <summary>The entry that was made of it, from which everybody else gets theirs; <see langword="null"/> when the value itself is handed out.</summary>
    public LocalEntry<T>? Entry { get; private set; }

    /// <summary>Where the answer came from.</summary>
    public CacheOrigin Origin { get; private set; }

    /// <summary>Whether the answer is a stale copy.</summary>
    public bool IsStale { get; private set; }

    /// <summary>Whether there is nothing left to load: it has its answer, and that is more than the copy that stands in since the soft timeout.</summary>
    public bool IsDone => IsAnswered && (!IsStale || IsCommitted || IsAbandoned);

    /// <summary>The stale copy at hand, to fall back on.</summary>
    public LocalEntry<T>? Stale { get; set; }

    /// <summary>Whether a removal came: no copy from before it may stand in any more. Guarded by the stripe.</summary>
    public bool IsStaleDropped { get; private set; }

    public override void DropStale()
    {
        Stale = null;
        IsStaleDropped = true;
    }

    /// <summary>Runs the factory.</summary>
    /// <param name="load">What the factory may see and say; <see langword="null"/> where it takes none.</param>
    /// <param name="cancellationToken">The flight's own token.</param>
    public abstract ValueTask<T> InvokeAsync(CacheLoad<T>? load, CancellationToken cancellationToken);

    /// <summary>Whether the factory takes a <see cref="CacheLoad{T}"/>.</summary>
    public abstract bool WantsLoad { get; }

    /// <summary>Answers, unless it was answered.</summary>
    public bool Answer(T value, LocalEntry<T>? entry, CacheOrigin origin, bool isStale)
    {
        lock (Stripe.Lock)
        {
            return AnswerUnderLock(value, entry, origin, isStale);
        }
    }

    public bool AnswerUnderLock(T value, LocalEntry<T>? entry, CacheOrigin origin, bool isStale)
    {
        if (IsAnswered)
        {
            return false;
        }

        Value = value;
        Entry = entry;
        Origin = origin;
        IsStale = isStale;
        AnswerUnderLock();
        return true;
    }

    /// <summary>
    /// Whether the answer may be older than an invalidation that had returned before a caller joined: possible only where it has tags of
    /// which the caller could not know, those of the copy that stood in or those that the factory chose.
    /// </summary>
    public bool IsTooOldFor(long joinedAt, Invalidations invalidations) =>
        Origin == CacheOrigin.Local
            ? Entry is { } copy && (IsStale ? invalidations.Judge(copy) == Standing.Gone : !invalidations.IsGood(copy))
            : joinedAt != Start && HasOtherTags && !invalidations.IsCurrent(Start, Tags);

    protected override void Clear()
    {
        base.Clear();
        Value = default!;
        Entry = Stale = null;
        Origin = default;
        IsStale = IsStaleDropped = false;
    }
}

/// <summary>A flight with its factory.</summary>
internal sealed class Flight<TState, T> : Flight<T>
{
    [ThreadStatic]
    private static Flight<TState, T>? _spare;

    private TState _state = default!;
    private Delegate? _factory;

    private Flight()
    {
    }

    public override bool WantsLoad => _factory is Func<CacheLoad<T>, TState, CancellationToken, ValueTask<T>>;

    public static Flight<TState, T> Begin(string key, long start, EntryPolicy policy, TagState[]? tags, KeyStripe stripe, TState state, Delegate? factory)
    {
        Flight<TState, T> flight = _spare ?? new Flight<TState, T>();
        _spare = null;
        flight.Begin(key, start, policy, tags, stripe);
        flight._state = state;
        flight._factory = factory;
        return flight;
    }

    public override ValueTask<T> InvokeAsync(CacheLoad<T>? load, CancellationToken cancellationToken) => _factory switch
    {
        Func<TState, CancellationToken, ValueTask<T>> plain => plain(_state, cancellationToken),
        Func<CacheLoad<T>, TState, CancellationToken, ValueTask<T>> seeing => seeing(load!, _state, cancellationToken),
        _ => throw new InvalidOperationException("A flight without a factory was asked to load."),
    };

    protected override void Clear()
    {
        base.Clear();
        _state = default!;
        _factory = null;
    }

    protected override void Keep() => _spare = this;
}
