// snippet: quick-start
using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Context;
using Resilience.Degrade;

var builder = WebApplication.CreateBuilder(args);
builder.AddResilienceKit();

var app = builder.Build();
app.UseResilienceKit();

app.MapGet("/products/{id:int}", (int id, HybridCache cache, CancellationToken ct) =>
    cache.GetOrCreateAsync($"product:{id}", id, LoadAsync, cancellationToken: ct));

app.MapGet("/products/{id:int}/comments", (int id) => new[] { $"I bought {id} twice." })
    .DegradeWith(Features.Comments, _ => Results.Json(Array.Empty<string>(), statusCode: 503));

app.Run();

// Stands for the query that must not be asked ten thousand times at once.
static async ValueTask<string> LoadAsync(int id, CancellationToken ct)
{
    await Task.Delay(50, ct);
    return $"Product {id}, loaded with {RequestScope.Current?.Deadline} left";
}

static class Features
{
    public static readonly Feature Comments = Feature.Declare("comments", Priority.Low);
}
// end-snippet
