using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;

// snippet: register
var services = new ServiceCollection();
services.AddResilientCache("products", options =>
{
    options.Expiration = TimeSpan.FromMilliseconds(200);
    options.StaleFor = TimeSpan.FromMinutes(10);
});
await using ServiceProvider provider = services.BuildServiceProvider();
var products = provider.GetRequiredKeyedService<ResilientCache>("products");
// end-snippet

bool isBroken = false;
int loads = 0;

// snippet: read
async ValueTask<string> ReadAsync(int id) => await products.GetOrCreateAsync($"product:{id}", id, async (state, token) =>
{
    Interlocked.Increment(ref loads);
    await Task.Delay(20, token); // the database
    return isBroken ? throw new IOException("The database is down.") : $"product {state}";
}, tags: ["catalogue"]);
// end-snippet

// A thousand callers of one cold key: one load.
await Task.WhenAll(Enumerable.Range(0, 1000).Select(_ => ReadAsync(42).AsTask()));
Console.WriteLine($"a thousand callers, {loads} load");

// The value expires while the database is down: the stale copy stands in.
isBroken = true;
await Task.Delay(300);
Console.WriteLine($"the database is down: {await ReadAsync(42)}");

// snippet: absent
string? missing = await products.GetOrCreateAsync<string?>("product:0", static (load, _) => new ValueTask<string?>(load.Absent()));
CacheResult<string?> known = products.TryGet<string?>("product:0");
// end-snippet
Console.WriteLine($"product 0: {missing ?? "nothing"}, remembered as absent: {known.IsKnownAbsent}");

// A removal is hard: not even the stale copy comes back.
await products.RemoveByTagAsync("catalogue");
try
{
    await ReadAsync(42);
}
catch (IOException failure)
{
    Console.WriteLine($"removed: {failure.Message}");
}

CacheSnapshot snapshot = products.Snapshot();
Console.WriteLine($"source loads {snapshot.SourceLoads}, failed {snapshot.SourceFailures}");
