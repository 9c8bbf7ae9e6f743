using System.Net;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Throttling;

/// <summary>Clients that do not await are kept from a backend that refuses like all others.</summary>
public sealed class SynchronousThrottleTests
{
    [Fact]
    public void Send_BackendRefuses_StopsAsking()
    {
        var throttle = new ClientThrottle(timeProvider: new ManualTimeProvider(), random: new Random(3));
        var backend = new Backend();
        using var client = new HttpClient(new ClientThrottleHandler(throttle) { InnerHandler = backend });
        int refusedHere = 0;
        for (int i = 0; i < 400; i++)
        {
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, "http://backend/");
                using HttpResponseMessage response = client.Send(request);
            }
            catch (RefusedException)
            {
                refusedHere++;
            }
        }

        Assert.Equal(400, backend.Calls + refusedHere);
        Assert.InRange(backend.Calls, 20, 120);
    }

    [Fact]
    public void Send_CallerHasGone_SaysNothingOfTheBackend()
    {
        var throttle = new ClientThrottle(new ClientThrottleOptions { MinimumRequests = 0 }, new ManualTimeProvider());
        using var source = new CancellationTokenSource();
        using var client = new HttpClient(new ClientThrottleHandler(throttle) { InnerHandler = new Backend { OnSend = source.Cancel } });
        using var request = new HttpRequestMessage(HttpMethod.Get, "http://backend/");
        Assert.ThrowsAny<OperationCanceledException>(() => client.Send(request, source.Token));
        Assert.Equal(0, throttle.RefusalProbability);
    }

    private sealed class Backend : HttpMessageHandler
    {
        public Action? OnSend { get; init; }

        public int Calls { get; private set; }

        protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Calls++;
            OnSend?.Invoke();
            cancellationToken.ThrowIfCancellationRequested();
            return new HttpResponseMessage(HttpStatusCode.ServiceUnavailable);
        }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
