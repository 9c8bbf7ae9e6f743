using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Resilience.Incidents.Instruments;

/// <summary>What a service logs at Information and above, with the time of each line, to be told beside the plots.</summary>
internal sealed class TimedLog : ILoggerProvider
{
    private readonly ConcurrentQueue<(long At, LogLevel Level, string Message)> _lines = [];

    public ILogger CreateLogger(string categoryName) => categoryName.StartsWith("Resilience", StringComparison.Ordinal) ? new Logger(_lines) : Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance;

    /// <summary>The lines of a load, by its clock.</summary>
    public IReadOnlyList<LogLine> Since(Timeline timeline) =>
        [.. _lines.Where(line => line.At >= timeline.StartedAt).Select(line => new LogLine(Stopwatch.GetElapsedTime(timeline.StartedAt, line.At).TotalSeconds, line.Level, line.Message))];

    public void Dispose()
    {
    }

    private sealed class Logger(ConcurrentQueue<(long At, LogLevel Level, string Message)> lines) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                lines.Enqueue((Stopwatch.GetTimestamp(), logLevel, $"{eventId.Id} {formatter(state, exception)}"));
            }
        }
    }
}

/// <summary>A line of a log.</summary>
/// <param name="Seconds">When, since the load began.</param>
/// <param name="Level">How grave.</param>
/// <param name="Text">Its event's number and its message.</param>
internal sealed record LogLine(double Seconds, LogLevel Level, string Text);
