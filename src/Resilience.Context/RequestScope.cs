using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Resilience.Context;

/// <summary>
/// What a request carries (identifier, deadline, priority, values) for every line that runs for it, and gone when it ends, whoever still
/// holds a thread, a timer or a closure.
/// </summary>
/// <remarks>
/// The scope itself is the object that the <see cref="AsyncLocal{T}"/> holds; everything it carries hangs on one reference. Every captured
/// <see cref="ExecutionContext"/> shares that holder, so ending the scope, which exchanges the reference for a few bytes, empties all of
/// them at once. The state is never pooled: a reader that raced the end sees its own old data, never another request's.
/// <see cref="Begin(ScopeOptions, string, int)"/> is synchronous on purpose: an AsyncLocal that is set in an async method is lost to its caller.
/// All members are thread-safe.
/// </remarks>
public sealed class RequestScope : IDisposable, IAsyncDisposable
{
    // An object, so that a read is not checked for its type: nothing but scopes is ever put in.
    private static readonly AsyncLocal<object?> Ambient = new();

    // The only field: a scope that somebody holds on to for ever costs this object and nothing else.
    private ScopeRecord _record;

    private RequestScope(ScopeState state)
    {
        _record = state;
    }

    /// <summary>The innermost scope of this flow that has not ended, or <see langword="null"/>.</summary>
    public static RequestScope? Current
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            RequestScope? scope = Unsafe.As<RequestScope?>(Ambient.Value);
            return scope is null || scope._record.GetType() == typeof(ScopeState) ? scope : scope.LiveAncestor();
        }
    }

    /// <summary>The identifier; it stays readable after the end, for logs. A child has its parent's unless it was given one.</summary>
    public string Id
    {
        get
        {
            var spin = new SpinWait();
            while (true)
            {
                ScopeRecord record = Volatile.Read(ref _record);
                if (record.GetId() is { } id)
                {
                    return id;
                }

                if (record is EndedScope ended)
                {
                    // Nobody had asked before the end, so any new one is as good.
                    Interlocked.CompareExchange(ref _record, EndedScope.For(ended.Parent, null, ScopeId.Next(), ended.Cause), record);
                }
                else
                {
                    spin.SpinOnce();
                }
            }
        }
    }

    /// <summary>Whether the scope has ended.</summary>
    public bool IsEnded => Volatile.Read(ref _record) is not ScopeState;

    /// <summary>Why the scope was cancelled or has ended; <see cref="ScopeCause.None"/> while neither has happened. The first cause stays.</summary>
    public ScopeCause Cause => Volatile.Read(ref _record).Cause;

    /// <summary>When the work must be done; <see cref="Deadline.None"/> after the end.</summary>
    public Deadline Deadline => State?.Deadline ?? Deadline.None;

    /// <summary>
    /// Whether the caller chose the deadline, being shorter than all limits of our own. When it then passes, that is not our failure and
    /// must not trip a breaker. False after the end.
    /// </summary>
    public bool IsDeadlineCallerChosen => State?.IsCallerChosen ?? false;

    /// <summary>How much the work matters; <see cref="Priority.Normal"/> after the end.</summary>
    public Priority Priority => State?.Priority ?? Priority.Normal;

    /// <summary>
    /// Cancelled when the scope ends, its deadline passes, its parent is cancelled or the caller has gone; <see cref="Cause"/> says which.
    /// Token, timer and links are made when it is first asked for. After the end it is an already cancelled token.
    /// </summary>
    public CancellationToken Token => State?.GetToken(this) ?? ScopeTokenSource.Closed.Token;

    /// <summary>The live state, or nothing after the end. Read it once and work with what was read.</summary>
    internal ScopeState? State => Volatile.Read(ref _record) as ScopeState;

    /// <summary>Begins a scope in this flow, inside the current one if there is one, and makes it current.</summary>
    /// <param name="options">What it begins with; defaults for everything when <see langword="null"/>.</param>
    /// <param name="file">Filled in by the compiler, for the leak detector.</param>
    /// <param name="line">Filled in by the compiler, for the leak detector.</param>
    /// <returns>The scope; dispose it where the work ends.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A timeout is negative and not infinite.</exception>
    public static RequestScope Begin(ScopeOptions? options = null, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        options ??= ScopeOptions.None;
        return Begin(options, options.Aborted, file, line);
    }

    /// <summary>Begins a scope in this flow, as the simpler overload does, with options that many scopes share and a token of its own.</summary>
    /// <param name="options">What it begins with, but for <see cref="ScopeOptions.Aborted"/>.</param>
    /// <param name="aborted">A token whose cancellation ends the work; it takes the place of the options' own.</param>
    /// <param name="file">Filled in by the compiler, for the leak detector.</param>
    /// <param name="line">Filled in by the compiler, for the leak detector.</param>
    /// <returns>The scope; dispose it where the work ends.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A timeout is negative and not infinite.</exception>
    public static RequestScope Begin(ScopeOptions options, CancellationToken aborted, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ArgumentNullException.ThrowIfNull(options);
        RequestScope? scope;
        while (!TryBegin(Current, options, file, line, aborted, out scope))
        {
            // The parent ended between being read and taking the child: its own parent is current now.
        }

        return scope;
    }

    /// <summary>Begins a scope inside this one, whatever is current, and makes it current in this flow.</summary>
    /// <param name="options">What it begins with; inherited or default when <see langword="null"/>.</param>
    /// <param name="file">Filled in by the compiler, for the leak detector.</param>
    /// <param name="line">Filled in by the compiler, for the leak detector.</param>
    /// <returns>The scope; dispose it where the work ends.</returns>
    /// <exception cref="ScopeEndedException">This scope has ended.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A timeout is negative and not infinite.</exception>
    public RequestScope BeginChild(ScopeOptions? options = null, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        TryBegin(this, options ?? ScopeOptions.None, file, line, options?.Aborted ?? default, out RequestScope? child) ? child : throw Ended("beginning a child");

    /// <summary>Runs work in a scope of its own, inside the current one, and ends the scope when the work is done or has failed.</summary>
    /// <typeparam name="TState">What the work needs, so that it can be a static lambda that captures nothing.</typeparam>
    /// <typeparam name="TResult">What the work gives.</typeparam>
    /// <param name="options">What the scope begins with.</param>
    /// <param name="state">Passed to the work.</param>
    /// <param name="work">The work.</param>
    /// <param name="file">Filled in by the compiler, for the leak detector.</param>
    /// <param name="line">Filled in by the compiler, for the leak detector.</param>
    /// <returns>What the work gave.</returns>
    public static async ValueTask<TResult> RunAsync<TState, TResult>(ScopeOptions? options, TState state, Func<RequestScope, TState, ValueTask<TResult>> work, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ArgumentNullException.ThrowIfNull(work);
        using RequestScope scope = Begin(options, file, line);
        return await work(scope, state).ConfigureAwait(false);
    }

    /// <summary>Runs work in a scope of its own, inside the current one, and ends the scope when the work is done or has failed.</summary>
    /// <typeparam name="TState">What the work needs, so that it can be a static lambda that captures nothing.</typeparam>
    /// <param name="options">What the scope begins with.</param>
    /// <param name="state">Passed to the work.</param>
    /// <param name="work">The work.</param>
    /// <param name="file">Filled in by the compiler, for the leak detector.</param>
    /// <param name="line">Filled in by the compiler, for the leak detector.</param>
    public static async ValueTask RunAsync<TState>(ScopeOptions? options, TState state, Func<RequestScope, TState, ValueTask> work, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ArgumentNullException.ThrowIfNull(work);
        using RequestScope scope = Begin(options, file, line);
        await work(scope, state).ConfigureAwait(false);
    }

    /// <summary>The value under a key, of this scope or inherited when it began; the type's default when there is none or the scope has ended.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    public T? Get<T>(ScopeKey<T> key) => TryGet(key, out T? value) ? value : default;

    /// <summary>Looks for the value under a key.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="value">The value; the type's default when the answer is false.</param>
    /// <returns>Whether there is one; never after the end.</returns>
    public bool TryGet<T>(ScopeKey<T> key, [MaybeNullWhen(false)] out T value)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (State is { } state && ScopeItems.TryGet(state.Items, key, out object? found))
        {
            value = (T)found!;
            return true;
        }

        value = default;
        return false;
    }

    /// <summary>Sets the value under a key. Children that begin later inherit it; parents and children that live already do not see it.</summary>
    /// <typeparam name="T">The type of the value.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="ScopeEndedException">The scope has ended.</exception>
    /// <exception cref="ArgumentException">The key goes into background work, and the value belongs to its request or must be disposed.</exception>
    public void Set<T>(ScopeKey<T> key, T value)
    {
        ArgumentNullException.ThrowIfNull(key);
        if ((key.Flow & ScopeFlow.Detach) != ScopeFlow.None && value is not null && RequestBound.IsHeldType(value.GetType()))
        {
            throw new ArgumentException($"Scope key '{key.Name}' goes into background work, but a {value.GetType().Name} belongs to its request or is to be disposed. Keep what the work needs of it as plain values.", nameof(value));
        }

        SetUnchecked(key, value);
    }

    internal void SetUnchecked(ScopeKey key, object? value) => (State ?? throw Ended($"setting '{key.Name}'")).Set(key, value);

    /// <summary>Gives the scope something to dispose at its end: last given, first disposed. What a dispose throws is counted and logged.</summary>
    /// <typeparam name="T">The type of the thing.</typeparam>
    /// <param name="item">The thing; the scope owns it from here on.</param>
    /// <returns>The thing.</returns>
    /// <exception cref="ScopeEndedException">The scope has ended; the thing has been disposed at once.</exception>
    public T Own<T>(T item)
        where T : IDisposable
    {
        ArgumentNullException.ThrowIfNull(item);
        if (State is not { } state)
        {
            item.Dispose();
        }
        else if (state.TryOwn(this, item))
        {
            return item;
        }

        throw Ended("owning a disposable");
    }

    /// <summary>Cancels the scope's work without ending the scope: its token and its children's are cancelled.</summary>
    /// <param name="cause">Why: <see cref="ScopeCause.Client"/> or <see cref="ScopeCause.Shutdown"/>. An earlier cause stays.</param>
    /// <exception cref="ArgumentOutOfRangeException">Another cause, which only the scope itself can have.</exception>
    public void Cancel(ScopeCause cause)
    {
        if (cause is not (ScopeCause.Client or ScopeCause.Shutdown))
        {
            throw new ArgumentOutOfRangeException(nameof(cause), cause, "Work is cancelled from outside because the client has gone or the process stops.");
        }

        if (State is { } state)
        {
            state.Latch(cause);
            state.CancelToken();
        }
    }

    /// <summary>
    /// Takes what background work may take along: the identifier, the trace, the priority and the values whose keys have
    /// <see cref="ScopeFlow.Detach"/>; no token, no service provider, nothing that must be disposed. The scope's end does not touch it.
    /// </summary>
    /// <param name="timeout">How long the background work may take from now, waiting in a queue included; positive and finite.</param>
    /// <exception cref="ScopeEndedException">The scope has ended.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The timeout is not positive, or infinite.</exception>
    public ScopeSnapshot Detach(TimeSpan timeout)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero);
        ScopeState state = State ?? throw Ended("taking a snapshot");
        return new ScopeSnapshot(Id, Activity.Current?.Context ?? default, state.Priority, Deadline.After(timeout, state.Clock), ScopeItems.Only(state.Items, ScopeFlow.Detach));
    }

    /// <summary>
    /// Wraps a sequence so that this scope is current whenever the sequence runs. By itself an async iterator loses what it set at its
    /// first yield, because it goes on in the flow of whoever asks for the next element.
    /// </summary>
    /// <typeparam name="T">The elements.</typeparam>
    /// <param name="source">The sequence.</param>
    public IAsyncEnumerable<T> Bind<T>(IAsyncEnumerable<T> source)
    {
        ArgumentNullException.ThrowIfNull(source);
        return new ScopeEnumerable<T>(this, source);
    }

    /// <summary>
    /// Ends the scope: drops all it carries, cancels its token, ends its live children, disposes what it owns and makes its parent current
    /// again. May be called from any thread; a second call does nothing.
    /// </summary>
    public void Dispose() => TryEnd(ScopeCause.Ended);

    /// <summary>The same as <see cref="Dispose"/>, done synchronously, so that the restored parent is seen by the caller.</summary>
    public ValueTask DisposeAsync()
    {
        TryEnd(ScopeCause.Ended);
        return ValueTask.CompletedTask;
    }

    internal bool TryEnd(ScopeCause cause)
    {
        ScopeRecord record = Volatile.Read(ref _record);
        while (record is ScopeState state)
        {
            RequestScope? ancestor = state.Parent is { } parent && parent.IsEnded ? parent.LiveAncestor() : state.Parent;

            // What was cancelled before it ended keeps its cause, and a deadline that has passed unnoticed is one. For all others, the
            // cause is there before the token is cancelled.
            if (cause == ScopeCause.Expired || state.Cause == ScopeCause.None)
            {
                state.Latch(cause);
            }

            ScopeRecord prior = Interlocked.CompareExchange(ref _record, state.Seal(state.Cause, ancestor), record);
            if (ReferenceEquals(prior, record))
            {
                state.End();
                if (ReferenceEquals(Ambient.Value, this))
                {
                    Ambient.Value = LiveAncestor();
                }

                return true;
            }

            record = prior;
        }

        return false;
    }

    /// <summary>Makes a scope current in this flow until the returned one is put back.</summary>
    internal static RequestScope? Exchange(RequestScope? scope)
    {
        RequestScope? previous = Unsafe.As<RequestScope?>(Ambient.Value);
        if (!ReferenceEquals(previous, scope))
        {
            Ambient.Value = scope;
        }

        return previous;
    }

    private static bool TryBegin(RequestScope? parent, ScopeOptions options, string file, int line, CancellationToken aborted, [NotNullWhen(true)] out RequestScope? scope)
    {
        ScopeState? inherited = null;
        (string? Text, long Number) id = (options.Id, 0);
        if (parent is not null)
        {
            inherited = parent.State;
            if (inherited is null)
            {
                scope = null;
                return false;
            }

            id = options.Id is null ? inherited.ShareId() : id;
        }

        var state = new ScopeState(parent, inherited, options, id, aborted);
        scope = new RequestScope(state);

        // Watched before its parent knows it: from then on its parent may end it.
        state.Monitor.Begun(scope, state, file, line);
        if (inherited is not null && !inherited.TryAddChild(parent!, scope, state))
        {
            // Not by hand: the leak detector may be ending it at the same time.
            scope.TryEnd(ScopeCause.Parent);
            scope = null;
            return false;
        }

        Ambient.Value = scope;
        return true;
    }

    /// <summary>The nearest live scope around this ended one. The way to it is shortened, so that a chain of ended scopes is walked once.</summary>
    private RequestScope? LiveAncestor()
    {
        RequestScope? scope = Volatile.Read(ref _record).Parent;
        while (scope is not null && scope.IsEnded)
        {
            scope = Volatile.Read(ref scope._record).Parent;
        }

        if (Volatile.Read(ref _record) is EndedScope { Parent: { } parent } ended && !ReferenceEquals(parent, scope))
        {
            ended.SkipTo(scope);
        }

        return scope;
    }

    private ScopeEndedException Ended(string action) => new(Id, Cause, action);
}
