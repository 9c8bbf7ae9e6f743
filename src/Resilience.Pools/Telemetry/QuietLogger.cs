using Microsoft.Extensions.Logging;

namespace Resilience.Pools;

/// <summary>
/// Passes on to a logger and lets nothing come back: what is told is told amid the bookkeeping of places and batches, on timers and loops,
/// where a provider that throws would lose a place or end a loop.
/// </summary>
internal sealed class QuietLogger(ILogger inner) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => inner.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return inner.IsEnabled(logLevel);
        }
        catch (Exception)
        {
            return false;
        }
    }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        try
        {
            inner.Log(logLevel, eventId, state, exception, formatter);
        }
        catch (Exception)
        {
            // Who cannot log cannot be told so either.
        }
    }
}
