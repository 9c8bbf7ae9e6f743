namespace Resilience.Context;

/// <summary>
/// What a request carries (id, deadline, priority) for every line that runs for it, and gone when it ends, whoever still holds a
/// thread, a timer or a closure.
/// </summary>
/// <remarks>
/// The scope itself is the object that the <see cref="AsyncLocal{T}"/> holds; everything it carries hangs on one reference, its state.
/// Every captured <see cref="ExecutionContext"/> shares that holder, so ending the scope, which exchanges the state for nothing,
/// empties all of them at once. The state is never pooled: a reader that raced the end sees its own old data, never another request's.
/// <see cref="Begin"/> is synchronous on purpose: an AsyncLocal that is set in an async method is lost to its caller.
/// All members are thread-safe.
/// </remarks>
public sealed class RequestScope : IDisposable, IAsyncDisposable
{
    private static readonly AsyncLocal<RequestScope?> Ambient = new();
    private static readonly CancellationToken EndedToken = new(canceled: true);

    private readonly RequestScope? _parent;
    private volatile State? _state;

    private RequestScope(RequestScope? parent, string id, State state)
    {
        _parent = parent;
        Id = id;
        _state = state;
    }

    /// <summary>The innermost scope of this flow that has not ended, or <see langword="null"/>.</summary>
    public static RequestScope? Current
    {
        get
        {
            // Walking past ended holders heals a restore that was lost or came out of order.
            RequestScope? scope = Ambient.Value;
            while (scope is not null && scope._state is null)
            {
                scope = scope._parent;
            }

            return scope;
        }
    }

    /// <summary>The identifier; it stays readable after the end, for logs.</summary>
    public string Id { get; }

    /// <summary>Whether the scope has ended.</summary>
    public bool IsEnded => _state is null;

    /// <summary>When the work must be done; <see cref="Deadline.None"/> after the end.</summary>
    public Deadline Deadline => _state?.Deadline ?? Deadline.None;

    /// <summary>How much the work matters; <see cref="Priority.Normal"/> after the end.</summary>
    public Priority Priority => _state?.Priority ?? Priority.Normal;

    /// <summary>
    /// Cancelled when the scope ends, its deadline passes, its parent is cancelled or the caller has gone. It is made when first
    /// asked for; after the end it is an already cancelled token.
    /// </summary>
    public CancellationToken Token => _state?.GetToken() ?? EndedToken;

    /// <summary>Begins a scope in this flow, inside the current one if there is one, and makes it current.</summary>
    /// <param name="options">What it begins with; defaults for everything when <see langword="null"/>.</param>
    /// <returns>The scope; dispose it where the work ends.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The timeout is negative and not infinite.</exception>
    public static RequestScope Begin(ScopeOptions? options = null)
    {
        options ??= new ScopeOptions();
        RequestScope? parent = Current;
        State? parentState = parent?._state;
        TimeProvider clock = options.TimeProvider ?? parentState?.Clock ?? TimeProvider.System;
        Deadline deadline = Deadline.Min(parentState?.Deadline ?? Deadline.None, Deadline.After(options.Timeout, clock));
        var state = new State(clock, deadline, options.Priority ?? parentState?.Priority ?? Priority.Normal, parent?.Token ?? default, options.Aborted);
        var scope = new RequestScope(parent, options.Id ?? Guid.NewGuid().ToString("N"), state);
        Ambient.Value = scope;
        return scope;
    }

    /// <summary>Ends the scope: drops all it carries, cancels its token and makes its parent current again. A second call does nothing.</summary>
    public void Dispose()
    {
        State? state = Interlocked.Exchange(ref _state, null);
        if (state is null)
        {
            return;
        }

        state.End();
        if (ReferenceEquals(Ambient.Value, this))
        {
            Ambient.Value = _parent;
        }
    }

    /// <summary>The same as <see cref="Dispose"/>, done synchronously, so that the restored parent is seen by the caller.</summary>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }

    private sealed class State(TimeProvider clock, Deadline deadline, Priority priority, CancellationToken parent, CancellationToken aborted)
    {
        private readonly Lock _lock = new(); // guards _source, _ended
        private CancellationTokenSource? _source;
        private CancellationTokenSource? _timer;
        private bool _ended;

        public TimeProvider Clock => clock;

        public Deadline Deadline => deadline;

        public Priority Priority => priority;

        public CancellationToken GetToken()
        {
            lock (_lock)
            {
                if (_ended)
                {
                    return EndedToken;
                }

                if (_source is null)
                {
                    TimeSpan remaining = deadline.Remaining;
                    _timer = remaining == Timeout.InfiniteTimeSpan ? null : new CancellationTokenSource(remaining, clock);
                    _source = CancellationTokenSource.CreateLinkedTokenSource(parent, aborted, _timer?.Token ?? default);
                }

                return _source.Token;
            }
        }

        public void End()
        {
            CancellationTokenSource? source;
            CancellationTokenSource? timer;
            lock (_lock)
            {
                _ended = true;
                (source, timer) = (_source, _timer);
            }

            source?.Cancel();
            source?.Dispose();
            timer?.Dispose();
        }
    }
}
