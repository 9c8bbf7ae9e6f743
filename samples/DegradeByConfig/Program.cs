// snippet: degrade-by-config
using Resilience.Context;
using Resilience.Degrade;

var builder = WebApplication.CreateBuilder(args);
builder.Services.AddDegradation().AddSystemSignals().AddAdmission();

var app = builder.Build();
app.UseRouting();
app.UseAdmission();

app.MapGet("/comments", () => new[] { "Works for me.", "Me too." })
    .WithPriority(Priority.Low)
    .DegradeWith(Features.Comments, _ => Results.Json("Comments are taking a break.", statusCode: 503));

app.MapGet("/page", async (IDegradation degrade, CancellationToken ct) => new
{
    Product = "Kettle",
    Recommendations = await degrade.RunAsync(Features.Recommendations, RecommendAsync, _ => new ValueTask<string[]>(["Bestseller"]), ct),
});

app.MapGet("/features", (IDegradation degrade) => degrade.Snapshot.Decisions.Select(decision => decision.ToString()));

app.Run();

static async ValueTask<string[]> RecommendAsync(CancellationToken ct)
{
    await Task.Delay(30, ct);
    return ["Teapot", "Cups"];
}

static class Features
{
    public static readonly Feature Comments = Feature.Declare("comments", Priority.Low);
    public static readonly Feature Recommendations = Feature.Declare("recommendations", Priority.Low);
}
// end-snippet
