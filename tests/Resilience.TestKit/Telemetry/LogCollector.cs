using Microsoft.Extensions.Logging;

namespace Resilience.TestKit;

/// <summary>
/// A logger provider that keeps all it is given, for assertions. Register it with <c>AddLogging(b => b.AddProvider(collector))</c>, or
/// take a logger from <see cref="CreateLogger{T}"/>. Thread-safe.
/// </summary>
public sealed class LogCollector : ILoggerProvider, ISupportExternalScope
{
    private readonly Lock _lock = new(); // guards _entries, _waiters
    private readonly List<LogEntry> _entries = [];
    private readonly List<(Func<LogEntry, bool> Wanted, TaskCompletionSource<LogEntry> Seen)> _waiters = [];
    private volatile IExternalScopeProvider _scopes = new LoggerExternalScopeProvider();

    /// <summary>What is logged from this level up is kept; everything by default.</summary>
    public LogLevel MinimumLevel { get; init; } = LogLevel.Trace;

    /// <summary>A copy of everything so far, oldest first.</summary>
    public IReadOnlyList<LogEntry> Entries
    {
        get
        {
            lock (_lock)
            {
                return [.. _entries];
            }
        }
    }

    /// <summary>The entries with an event id, oldest first.</summary>
    /// <param name="eventId">The id.</param>
    public IReadOnlyList<LogEntry> WithId(int eventId) => [.. Entries.Where(entry => entry.Id.Id == eventId)];

    /// <summary>The first entry that fits, waiting for it if need be.</summary>
    /// <param name="wanted">Whether an entry is the one; called under a lock, so it must be quick and must not log.</param>
    /// <param name="timeout">How long to wait; <see cref="Eventually.Patience"/> by default.</param>
    /// <exception cref="TimeoutException">None came in time.</exception>
    public async Task<LogEntry> WaitForAsync(Func<LogEntry, bool> wanted, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        var seen = new TaskCompletionSource<LogEntry>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (_entries.Find(entry => wanted(entry)) is { } entry)
            {
                return entry;
            }

            _waiters.Add((wanted, seen));
        }

        TimeSpan limit = timeout ?? Eventually.Patience;
        try
        {
            return await seen.Task.WaitAsync(limit);
        }
        catch (TimeoutException exception)
        {
            throw new TimeoutException($"No such log entry within {limit.TotalSeconds:0.#} s. Logged:{Environment.NewLine}{string.Join(Environment.NewLine, Entries)}", exception);
        }
    }

    /// <summary>Forgets all entries.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            _entries.Clear();
        }
    }

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    /// <summary>A typed logger that writes here and nowhere else.</summary>
    /// <typeparam name="T">Its category.</typeparam>
    public ILogger<T> CreateLogger<T>() => CreateFactory().CreateLogger<T>();

    /// <summary>A logger factory that writes here and nowhere else.</summary>
    public ILoggerFactory CreateFactory() => LoggerFactory.Create(builder => builder.SetMinimumLevel(LogLevel.Trace).AddProvider(this));

    /// <inheritdoc/>
    public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

    /// <summary>Does nothing: what was logged while a host stopped can still be read.</summary>
    public void Dispose()
    {
    }

    private void Add(LogEntry entry)
    {
        lock (_lock)
        {
            _entries.Add(entry);
            for (int i = _waiters.Count - 1; i >= 0; i--)
            {
                if (_waiters[i].Wanted(entry))
                {
                    _waiters[i].Seen.TrySetResult(entry);
                    _waiters.RemoveAt(i);
                }
            }
        }
    }

    private sealed class Logger(LogCollector owner, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => owner._scopes.Push(state);

        public bool IsEnabled(LogLevel logLevel) => logLevel >= owner.MinimumLevel && logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
            {
                return;
            }

            var values = new Dictionary<string, object?>(StringComparer.Ordinal);
            foreach ((string name, object? value) in state as IEnumerable<KeyValuePair<string, object?>> ?? [])
            {
                values[name] = value;
            }

            var scopes = new List<object?>();
            owner._scopes.ForEachScope(static (scope, list) => list.Add(scope), scopes);
            owner.Add(new LogEntry(logLevel, category, eventId, formatter(state, exception), exception, values, scopes));
        }
    }
}
