namespace Resilience.Degrade;

/// <summary>Puts a <see cref="ClientThrottle"/> in front of an <see cref="HttpClient"/>: <c>429</c>, <c>502</c>, <c>503</c>, <c>504</c> and lost connections count as "too much".</summary>
/// <param name="throttle">The throttle, one per backend.</param>
public sealed class ClientThrottleHandler(ClientThrottle throttle) : DelegatingHandler
{
    /// <inheritdoc/>
    /// <exception cref="RefusedException">The throttle refused the call.</exception>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (!throttle.TryBegin())
        {
            throw new RefusedException($"The call was not made: the backend refuses so many that {throttle.RefusalProbability:P0} are refused at the client. Come back later or ask less.", null);
        }

        bool accepted = false;
        try
        {
            HttpResponseMessage response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
            accepted = !DegradeStrategy.IsOverload(response.StatusCode);
            return response;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            accepted = true; // the caller's own end says nothing of the backend
            throw;
        }
        finally
        {
            throttle.Report(accepted);
        }
    }
}
