using Polly;
using Polly.Retry;
using Resilience.Degrade;

// A backend that takes ten calls at a time; the eleventh waits, and after 100 ms it is given up.
var backend = new Backend(places: 10);

// snippet: with-polly
var limiter = new AdaptiveConcurrencyLimiter(new Gradient2Limit(initial: 40), window: TimeSpan.FromMilliseconds(100));
var throttle = new ClientThrottle();
ResiliencePipeline pipeline = new ResiliencePipelineBuilder()
    .AddRetry(new RetryStrategyOptions { MaxRetryAttempts = 2, Delay = TimeSpan.FromMilliseconds(20), UseJitter = true })
    .AddClientThrottle(throttle)
    .AddLimiter(limiter)
    .AddTimeout(TimeSpan.FromMilliseconds(100))
    .Build();
// end-snippet

int ok = 0;
int refused = 0;
int late = 0;
await Task.WhenAll(Enumerable.Range(0, 60).Select(async _ =>
{
    for (int i = 0; i < 40; i++)
    {
        try
        {
            await pipeline.ExecuteAsync(static async (backend, ct) => await backend.CallAsync(ct), backend);
            Interlocked.Increment(ref ok);
        }
        catch (RefusedException)
        {
            Interlocked.Increment(ref refused);
            await Task.Delay(50);
        }
        catch (Polly.Timeout.TimeoutRejectedException)
        {
            Interlocked.Increment(ref late);
        }
    }
}));
Console.WriteLine($"calls={ok + refused + late} ok={ok} refused={refused} late={late} limit={limiter.Limit}");

internal sealed class Backend(int places)
{
    private readonly SemaphoreSlim _places = new(places);

    public async ValueTask CallAsync(CancellationToken ct)
    {
        await _places.WaitAsync(ct);
        try
        {
            await Task.Delay(20, ct);
        }
        finally
        {
            _places.Release();
        }
    }
}
