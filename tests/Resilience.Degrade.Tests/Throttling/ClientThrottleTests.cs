using System.Net;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Throttling;

public sealed class ClientThrottleTests
{
    [Fact]
    public void TryBegin_BackendAcceptsAll_RefusesNothing()
    {
        var throttle = new ClientThrottle(timeProvider: new ManualTimeProvider());
        for (int i = 0; i < 10_000; i++)
        {
            Assert.True(throttle.TryBegin());
            throttle.Report(accepted: true);
        }
    }

    [Fact]
    public void TryBegin_FewRequests_RefusesNothing()
    {
        var throttle = new ClientThrottle(timeProvider: new ManualTimeProvider());
        for (int i = 0; i < 20; i++)
        {
            Assert.True(throttle.TryBegin());
            throttle.Report(accepted: false);
        }
    }

    /// <summary>A backend that takes a tenth: with K = 2 it should see about twice what it takes, where without a throttle it sees ten times.</summary>
    [Fact]
    public void TryBegin_BackendTakesATenth_SeesAboutTwiceThat()
    {
        var time = new ManualTimeProvider();
        var throttle = new ClientThrottle(new ClientThrottleOptions { MaxProbability = 1 }, time, new Random(7));
        long sent = 0;
        long taken = 0;
        for (int second = 0; second < 600; second++)
        {
            int room = 10;
            for (int i = 0; i < 100; i++)
            {
                if (throttle.TryBegin())
                {
                    bool accepted = room-- > 0;
                    throttle.Report(accepted);
                    sent += second > 300 ? 1 : 0;
                    taken += second > 300 && accepted ? 1 : 0;
                }
            }

            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.InRange((double)sent / taken, 1.7, 2.4);
    }

    [Fact]
    public void TryBegin_BackendIsBack_RecoversByItself()
    {
        var time = new ManualTimeProvider();
        var throttle = new ClientThrottle(timeProvider: time, random: new Random(7));
        for (int i = 0; i < 10_000; i++)
        {
            if (throttle.TryBegin())
            {
                throttle.Report(accepted: false);
            }
        }

        Assert.Equal(0.95, throttle.RefusalProbability, 2);
        for (int second = 0; second < 900; second++)
        {
            for (int i = 0; i < 20; i++)
            {
                if (throttle.TryBegin())
                {
                    throttle.Report(accepted: true);
                }
            }

            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(0, throttle.RefusalProbability);
    }

    [Fact]
    public void TryBegin_AndReport_AllocateNothing()
    {
        var throttle = new ClientThrottle();
        AllocationAssert.AtMost(0, () =>
        {
            throttle.TryBegin();
            throttle.Report(true);
        });
    }

    [Fact]
    public async Task Handler_BackendRefuses_StopsAsking()
    {
        var throttle = new ClientThrottle(timeProvider: new ManualTimeProvider(), random: new Random(3));
        var backend = new Backend();
        using var client = new HttpClient(new ClientThrottleHandler(throttle) { InnerHandler = backend });
        int refusedHere = 0;
        for (int i = 0; i < 400; i++)
        {
            try
            {
                using HttpResponseMessage response = await client.GetAsync(new Uri("http://backend/"));
            }
            catch (RefusedException)
            {
                refusedHere++;
            }
        }

        Assert.Equal(400, backend.Calls + refusedHere);
        Assert.InRange(backend.Calls, 20, 120);
    }

    private sealed class Backend : HttpMessageHandler
    {
        public int Calls { get; private set; }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Calls++;
            return Task.FromResult(new HttpResponseMessage(HttpStatusCode.ServiceUnavailable));
        }
    }
}
