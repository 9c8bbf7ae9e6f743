using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>
/// Puts a <see cref="ClientThrottle"/> in front of an <see cref="HttpClient"/>: <c>429</c>, <c>502</c>, <c>503</c>, <c>504</c>, lost connections and calls that
/// did not come back before the deadline that this service set for its request count as "too much". The priority of a call is that of the request scope.
/// </summary>
/// <param name="throttle">The throttle, one per backend.</param>
/// <param name="timeProvider">The clock; the system's when <see langword="null"/>.</param>
public sealed class ClientThrottleHandler(ClientThrottle throttle, TimeProvider? timeProvider = null) : DelegatingHandler
{
    private readonly CoarseClock _clock = new(timeProvider);

    /// <summary>
    /// A call that is cancelled after it has waited this long counts as "too much", whoever cancelled it; <see cref="System.Threading.Timeout.InfiniteTimeSpan"/>,
    /// the default: none does. A handler is given one token and cannot tell <see cref="HttpClient.Timeout"/> from a caller that has gone, so set this to
    /// a little less than that timeout.
    /// </summary>
    public TimeSpan CancellationCountsAfter { get; init; } = System.Threading.Timeout.InfiniteTimeSpan;

    /// <inheritdoc/>
    /// <exception cref="RefusedException">The throttle refused the call.</exception>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        Deadline deadline = Begin();
        long began = _clock.Milliseconds;
        bool accepted = false;
        try
        {
            HttpResponseMessage response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
            accepted = !DegradeStrategy.IsOverload(response.StatusCode);
            return response;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // A caller that goes says nothing of the backend, unless it went because the backend took too long.
            accepted = !HasWaitedLong(began) && !deadline.IsExpired;
            throw;
        }
        finally
        {
            throttle.Report(accepted);
        }
    }

    /// <summary>Does the same for clients that call <see cref="HttpClient.Send(HttpRequestMessage)"/>, and blocks until the headers of the answer are there.</summary>
    /// <inheritdoc cref="SendAsync"/>
    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        Deadline deadline = Begin();
        long began = _clock.Milliseconds;
        bool accepted = false;
        try
        {
            HttpResponseMessage response = base.Send(request, cancellationToken);
            accepted = !DegradeStrategy.IsOverload(response.StatusCode);
            return response;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            accepted = !HasWaitedLong(began) && !deadline.IsExpired;
            throw;
        }
        finally
        {
            throttle.Report(accepted);
        }
    }

    /// <summary>Asks the throttle.</summary>
    /// <returns>The deadline that this service set for the request. One that the caller chose does not count: with short ones it could close the throttle for everybody.</returns>
    private Deadline Begin()
    {
        RequestScope? scope = RequestScope.Current;
        return throttle.TryBegin(scope?.Priority ?? Priority.Normal)
            ? scope is { IsDeadlineCallerChosen: false } ? scope.Deadline : Deadline.None
            : throw new RefusedException($"The call was not made: the backend refuses so many that {throttle.RefusalProbability:P0} are refused at the client, what matters least first. Come back later or ask less.", null);
    }

    private bool HasWaitedLong(long began) =>
        CancellationCountsAfter != System.Threading.Timeout.InfiniteTimeSpan && _clock.Milliseconds - began >= CancellationCountsAfter.TotalMilliseconds;
}
