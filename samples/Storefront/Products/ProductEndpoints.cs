using Microsoft.AspNetCore.Http.HttpResults;
using Resilience.Context;
using Storefront.Catalogue;

namespace Storefront.Products;

internal static class ProductEndpoints
{
    private static readonly string[] CommentsLater = ["Comments are away for the moment."];

    public static void MapProducts(this IEndpointRouteBuilder app)
    {
        app.MapGet("/products/{id:int}", GetPageAsync).WithPriority(Priority.Normal);
        app.MapPut("/products/{id:int}/price", SetPriceAsync).WithPriority(Priority.Normal);

        // snippet: degrade-with
        app.MapGet("/products/{id:int}/comments", (int id, IShop shop, CancellationToken ct) => shop.CommentsAsync(id, ct))
            .WithPriority(Priority.Low)
            .DegradeWith(Features.Comments, _ => Results.Json(CommentsLater, statusCode: StatusCodes.Status503ServiceUnavailable));
        // end-snippet
    }

    private static async Task<Results<Ok<Product>, NotFound, ValidationProblem>> SetPriceAsync(int id, PriceChange change, ProductPages pages, CancellationToken cancellationToken)
    {
        if (change.PriceCents < 1)
        {
            return TypedResults.ValidationProblem(new Dictionary<string, string[]> { [nameof(change.PriceCents)] = ["must be 1 or more"] });
        }

        return await pages.SetPriceAsync(id, change.PriceCents, cancellationToken) is { } product ? TypedResults.Ok(product) : TypedResults.NotFound();
    }

    private static async Task<Results<Ok<ProductPage>, NotFound>> GetPageAsync(int id, ProductPages pages, CancellationToken cancellationToken) =>
        await pages.FindAsync(id, cancellationToken) is { } page ? TypedResults.Ok(page) : TypedResults.NotFound();
}
