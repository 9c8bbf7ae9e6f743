using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;

namespace Resilience.AspNetCore.Tests.Scopes;

/// <summary>Three services on three servers whose wall clocks jump by hours: the time they have only shrinks.</summary>
public sealed class ThreeHopTests
{
    [Fact]
    public async Task Deadline_OverThreeServices_OnlyShrinks()
    {
        var left = new double[3];
        await using ScopeApp last = await StartAsync(2, null, left);
        await using ScopeApp middle = await StartAsync(1, last.Address, left);
        await using ScopeApp first = await StartAsync(0, middle.Address, left);
        var random = new Random(7);
        for (int round = 0; round < 50; round++)
        {
            // Long enough for the slowest machine; nothing waits for it.
            int budget = random.Next(10_000, 50_000);
            HttpResponseMessage answer = await first.SendAsync("/", ("X-Request-Timeout-Ms", $"{budget}"), ("X-Request-Id", $"r-{round}"));
            Assert.Equal($"r-{round} r-{round} r-{round} ", await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
            Assert.True(left[0] <= budget && left[1] < left[0] && left[2] < left[1], $"The callee had more time than its caller: {budget}, {string.Join(", ", left)} ms");
        }
    }

    [Fact]
    public async Task Deadline_TooShortForThreeHops_StopsWhereItIsSpent()
    {
        var left = new double[3];
        await using ScopeApp last = await StartAsync(2, null, left);
        await using ScopeApp middle = await StartAsync(1, last.Address, left);
        await using ScopeApp first = await StartAsync(0, middle.Address, left);
        HttpResponseMessage answer = await first.SendAsync("/", ("X-Request-Timeout-Ms", "6"));
        Assert.Equal(System.Net.HttpStatusCode.GatewayTimeout, answer.StatusCode);
        Assert.Equal(0, left[2]);
    }

    /// <summary>A service that notes what time it has left, then asks the next one.</summary>
    private static Task<ScopeApp> StartAsync(int index, Uri? next, double[] left) =>
        ScopeApp.StartAsync(
            app => app.MapGet("/", async (IHttpClientFactory clients) =>
            {
                RequestScope scope = RequestScope.Current!;
                left[index] = scope.Deadline.Remaining.TotalMilliseconds;
                return $"{scope.Id} {(next is null ? "" : await clients.CreateClient("next").GetStringAsync(next, scope.Token))}";
            }),
            (services, _) => services.AddHttpClient("next").AddRequestScopePropagation(),
            clock: new JumpyClock(index),
            settings: [("DefaultTimeout", "00:10:00")]);

    /// <summary>The machine's monotonic clock under a wall clock that jumps with every reading.</summary>
    private sealed class JumpyClock(int seed) : TimeProvider
    {
        private readonly Random _random = new(seed);

        public override DateTimeOffset GetUtcNow()
        {
            lock (_random)
            {
                return DateTimeOffset.UnixEpoch.AddHours(_random.Next(1_000_000));
            }
        }
    }
}
