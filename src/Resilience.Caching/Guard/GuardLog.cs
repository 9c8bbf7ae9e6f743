using Microsoft.Extensions.Logging;

namespace Resilience.Caching.Guard;

/// <summary>What guards log; ids 3500 to 3599.</summary>
internal static partial class GuardLog
{
    [LoggerMessage(3500, LogLevel.Information, "Guard '{Guard}' is ready: {Keys} keys in {Bytes} bytes, built in {Milliseconds} ms, estimated false positives {Rate:P3}.")]
    public static partial void Ready(ILogger logger, string guard, long keys, long bytes, long milliseconds, double rate);

    [LoggerMessage(3501, LogLevel.Warning, "Guard '{Guard}' could not be built from its source and lets everything pass that its last filter does not cover; next attempt in {Delay}.")]
    public static partial void RebuildFailed(ILogger logger, string guard, TimeSpan delay, Exception exception);

    [LoggerMessage(3502, LogLevel.Error, "Guard '{Guard}' has refused a key that exists and refuses nothing until it has been rebuilt. Some writer does not call AddAsync before it commits, or the source does not stream every key.")]
    public static partial void Contradicted(ILogger logger, string guard);

    [LoggerMessage(3503, LogLevel.Warning, "Guard '{Guard}' is overfull: {Keys} keys, estimated false positives {Rate:P2} against {Configured:P2}. It lets everything pass while a larger filter is built; raise ExpectedKeys.")]
    public static partial void Overfull(ILogger logger, string guard, long keys, double rate, double configured);

    [LoggerMessage(3504, LogLevel.Warning, "Guard '{Guard}' cannot read its shared journal and lets everything pass until it can.")]
    public static partial void JournalFailed(ILogger logger, string guard, Exception exception);

    [LoggerMessage(3505, LogLevel.Information, "Guard '{Guard}' reads its shared journal again, after {Failures} failed attempts.")]
    public static partial void JournalRecovered(ILogger logger, string guard, int failures);

    [LoggerMessage(3506, LogLevel.Warning, "Guard '{Guard}': the shared journal was lost or begun anew. The filter is dropped; the next one starts once additions from before can no longer be uncommitted, in {Delay}.")]
    public static partial void JournalLost(ILogger logger, string guard, TimeSpan delay);
}
