using Resilience.Context;

namespace Resilience.Caching.Flights;

/// <summary>Waits for a flight's answer: until the caller gives up, or its request has no time left.</summary>
internal sealed class AnswerWait(CacheCore core, LoadPath loads)
{
    /// <summary>The longest wait that a timer can be set to.</summary>
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(24);

    /// <summary>How long a request may still wait.</summary>
    public static TimeSpan Limit(RequestScope? scope)
    {
        TimeSpan left = scope?.Deadline.Remaining ?? Timeout.InfiniteTimeSpan;
        return left > LongestTimer ? Timeout.InfiniteTimeSpan : left;
    }

    /// <summary>What a caller gets whose request has no time left.</summary>
    public static DeadlineExceededException Late(string cache, RequestScope scope) => new(
        $"Cache '{cache}': the deadline of request '{scope.Id}' passed before what it waited for was done, and no stale copy was at hand.",
        TimeSpan.Zero,
        TimeSpan.Zero,
        scope.IsDeadlineCallerChosen);

    /// <summary>Waits for work that goes on whatever comes, no longer than the request has time.</summary>
    /// <exception cref="DeadlineExceededException">The request's deadline came first.</exception>
    public static async Task WithinAsync(Task work, CacheCore core, RequestScope scope)
    {
        try
        {
            await work.WaitAsync(Limit(scope), core.Time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            if (!work.IsCompleted)
            {
                work.Observe();
                throw Late(core.Name, scope);
            }

            await work.ConfigureAwait(false); // It ended in the same moment: what it ended with counts, be it a timeout of its own.
        }
    }

    /// <summary>Waits.</summary>
    /// <param name="flight">The flight, in which the caller is counted; it is left when the wait ends without an answer.</param>
    /// <param name="answered">Ends with the answer.</param>
    /// <param name="scope">The caller's request, whose deadline bounds the wait.</param>
    /// <param name="cancellationToken">The caller's own.</param>
    /// <returns>False when the request's deadline came first.</returns>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    /// <exception cref="CacheReentrancyException">The flight waits, through others, for the factory that is about to wait for it.</exception>
    public async ValueTask<bool> ForAnswerAsync(Flight flight, Task answered, RequestScope? scope, CancellationToken cancellationToken)
    {
        if (answered.IsCompleted)
        {
            return true;
        }

        Flight? outer = Reentrancy.Current;
        Flight[] wait = outer is null ? [] : [flight];
        try
        {
            if (outer is not null)
            {
                Reentrancy.BeginWait(outer, wait, core.Name);
            }

            await answered.WaitAsync(Limit(scope), core.Time, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (Exception exception) when (exception is OperationCanceledException or TimeoutException && flight.IsAnswered)
        {
            return true; // The answer came in the same moment: an answered caller is not cancelled.
        }
        catch (Exception exception)
        {
            loads.Leave(flight);
            if (exception is TimeoutException)
            {
                return false;
            }

            throw;
        }
        finally
        {
            if (outer is not null)
            {
                Reentrancy.EndWait(outer, wait);
            }
        }
    }
}
