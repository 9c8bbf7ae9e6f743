using Polly;
using Polly.CircuitBreaker;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;

namespace Resilience.Incidents.Incidents.Cascade;

/// <summary>
/// The estimate is a feature with a fallback, has a connection pool of its own beside the critical one (the same thirty connections in
/// all), and its call to the inventory ends with the request's deadline, behind a breaker. It still asks within its unit of work.
/// </summary>
internal sealed class WithKit(Inventory inventory, ResourcePool<Connection> critical, ResourcePool<Connection> estimates, IDegradation degradation) : IOrders
{
    public const string CriticalPool = "payments";
    public const string EstimatePool = "estimates";
    public const int EstimateConnections = 10;

    public static readonly Feature DeliveryEstimate = Feature.Declare("delivery-estimate", Priority.Low);

    private static readonly TimeSpan Budget = TimeSpan.FromMilliseconds(250);

    private readonly ResiliencePipeline _inventoryCalls = new ResiliencePipelineBuilder()
        .AddCircuitBreaker(new CircuitBreakerStrategyOptions
        {
            FailureRatio = 0.5,
            MinimumThroughput = 5,
            SamplingDuration = TimeSpan.FromSeconds(1),
            BreakDuration = TimeSpan.FromMilliseconds(500),
            ShouldHandle = static failure => new ValueTask<bool>(failure.Outcome.Exception is not null),
        })
        .Build();

    public ValueTask PayAsync(CancellationToken cancellationToken) =>
        critical.RunAsync(static (connection, _, token) => connection.QueryAsync(token), 0, cancellationToken);

    public ValueTask<Estimate> EstimateAsync(int product, CancellationToken cancellationToken) =>
        degradation.RunAsync(
            DeliveryEstimate,
            static (at, token) => at.Orders.AskAsync(at.product, token),
            static (_, _) => ValueTask.FromResult(new Estimate(4, IsGuess: true)),
            (Orders: this, product),
            cancellationToken: cancellationToken);

    private async ValueTask<Estimate> AskAsync(int product, CancellationToken cancellationToken)
    {
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = Budget, Priority = Priority.Low, Aborted = cancellationToken });
        return await _inventoryCalls.ExecuteAsync(
            static async (at, token) => await at.Orders.ReadAndAskAsync(at.product, token),
            (Orders: this, product),
            scope.Token);
    }

    private ValueTask<Estimate> ReadAndAskAsync(int product, CancellationToken cancellationToken) =>
        estimates.RunAsync(
            static async (connection, at, token) =>
            {
                await connection.QueryAsync(token);
                return new Estimate(await at.inventory.DaysToDeliveryAsync(at.product, token).WaitAsync(token), IsGuess: false);
            },
            (inventory, product),
            cancellationToken);
}
