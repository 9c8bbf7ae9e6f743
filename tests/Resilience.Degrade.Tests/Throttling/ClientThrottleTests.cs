using System.Net;
using FsCheck;
using FsCheck.Fluent;
using Resilience.Context;
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

    /// <summary>A backend that knows no priorities and takes a tenth of what comes: the budget goes to what matters, and it sees no more calls than before.</summary>
    [Fact]
    public void TryBegin_BackendRefusesAtRandom_CriticalCallsAreTheLastToBeKeptAtHome()
    {
        var time = new ManualTimeProvider();
        var throttle = new ClientThrottle(null, time, new Random(7));
        var asked = new int[4];
        var sent = new int[4];
        int taken = 0;
        for (int second = 0; second < 600; second++)
        {
            int room = 10;
            foreach (int i in Enumerable.Range(0, 100).OrderBy(i => i * 37 % 101))
            {
                Priority priority = i < 5 ? Priority.Critical : i < 30 ? Priority.Normal : i < 80 ? Priority.Low : Priority.Bulk;
                asked[(int)priority] += second > 300 ? 1 : 0;
                if (throttle.TryBegin(priority))
                {
                    bool accepted = room-- > 0;
                    throttle.Report(accepted);
                    sent[(int)priority] += second > 300 ? 1 : 0;
                    taken += second > 300 && accepted ? 1 : 0;
                }
            }

            time.Advance(TimeSpan.FromSeconds(1));
        }

        double[] shares = [.. asked.Zip(sent, static (of, made) => (double)made / of)];
        Assert.Equal(1, shares[0]);
        Assert.InRange(shares[1], 0.4, 0.8); // 15 of 25: what is left of twice ten
        Assert.InRange(shares[2], 0.03, 0.08); // some always find out whether the backend is back
        Assert.InRange(shares[3], 0.03, 0.08);
        Assert.InRange((double)sent.Sum() / taken, 1.7, 2.6);
    }

    [Fact]
    public void RefusalProbability_WhateverWasCalled_IsNeverMoreForWhatMattersMore() => Prop.ForAll(
        ArbMap.Default.ArbFor<byte[]>(),
        calls =>
        {
            var throttle = new ClientThrottle(new ClientThrottleOptions { MinimumRequests = 0 }, new ManualTimeProvider(), new Random(1));
            foreach (byte call in calls)
            {
                if (throttle.TryBegin((Priority)(call & 3)))
                {
                    throttle.Report((call & 4) != 0 && (call & 8) != 0);
                }
            }

            double[] probabilities = [.. Enum.GetValues<Priority>().Select(throttle.RefusalProbabilityOf)];
            return probabilities.Order().SequenceEqual(probabilities) && probabilities.All(probability => probability is >= 0 and <= 0.95);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public async Task Handler_InARequestScope_CallsWithItsPriority()
    {
        var throttle = new ClientThrottle(timeProvider: new ManualTimeProvider(), random: new Random(3));
        using var client = new HttpClient(new ClientThrottleHandler(throttle) { InnerHandler = new Backend() });
        for (int i = 0; i < 200; i++)
        {
            using RequestScope scope = RequestScope.Begin(new ScopeOptions { Priority = Priority.Bulk });
            await Record.ExceptionAsync(() => client.GetAsync(new Uri("http://backend/")));
        }

        Assert.True(throttle.RefusalProbabilityOf(Priority.Bulk) > 0.9);
        Assert.Equal(0, throttle.RefusalProbabilityOf(Priority.Critical));
    }

    /// <summary>Whether the client's timeout or its caller ended a call cannot be told; how long it had waited can.</summary>
    [Theory]
    [InlineData(4.9, false)]
    [InlineData(5, true)]
    public async Task Handler_CancelledAfterALongWait_CountsAsTooMuch(double seconds, bool counts)
    {
        var time = new ManualTimeProvider();
        var throttle = new ClientThrottle(new ClientThrottleOptions { MinimumRequests = 0, K = 1 }, time);
        var backend = new SilentBackend();
        using var client = new HttpClient(new ClientThrottleHandler(throttle, time) { InnerHandler = backend, CancellationCountsAfter = TimeSpan.FromSeconds(5) });
        using var gone = new CancellationTokenSource();
        Task<HttpResponseMessage> call = client.GetAsync(new Uri("http://backend/"), gone.Token);
        await backend.Called.Task;
        time.Advance(TimeSpan.FromSeconds(seconds));
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        Assert.Equal(counts, throttle.RefusalProbability > 0);
    }

    /// <summary>A deadline that the caller chose says nothing of the backend: with short ones it could close the throttle for everybody.</summary>
    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Handler_DeadlineOfTheRequestIsOver_CountsAsTooMuchUnlessTheCallerChoseIt(bool callerChose, bool counts)
    {
        var time = new ManualTimeProvider();
        var throttle = new ClientThrottle(new ClientThrottleOptions { MinimumRequests = 0, K = 1 }, time);
        var backend = new SilentBackend();
        using var client = new HttpClient(new ClientThrottleHandler(throttle, time) { InnerHandler = backend });
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(callerChose ? 30 : 2), CallerTimeout = TimeSpan.FromSeconds(callerChose ? 2 : 30), TimeProvider = time });
        Task<HttpResponseMessage> call = client.GetAsync(new Uri("http://backend/"), scope.Token);
        await backend.Called.Task;
        time.Advance(TimeSpan.FromSeconds(3));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        Assert.Equal(counts, throttle.RefusalProbability > 0);
    }

    private sealed class SilentBackend : HttpMessageHandler
    {
        public TaskCompletionSource Called { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Called.SetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            throw new InvalidOperationException("It never answers.");
        }
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
