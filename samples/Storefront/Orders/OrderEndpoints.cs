using Microsoft.AspNetCore.Http.HttpResults;
using Resilience.Context;
using Storefront.Catalogue;

namespace Storefront.Orders;

internal static class OrderEndpoints
{
    public static void MapOrders(this IEndpointRouteBuilder app) =>
        app.MapPost("/orders", PlaceAsync).WithPriority(Priority.Critical);

    private static async Task<Results<Ok<OrderReceipt>, NotFound, ValidationProblem>> PlaceAsync(OrderRequest order, IShop shop, CancellationToken cancellationToken)
    {
        if (order.Quantity is < 1 or > 100)
        {
            return TypedResults.ValidationProblem(new Dictionary<string, string[]> { [nameof(order.Quantity)] = ["must be from 1 to 100"] });
        }

        return await shop.PlaceOrderAsync(order, cancellationToken) is { } number
            ? TypedResults.Ok(new OrderReceipt(number, order.ProductId, order.Quantity))
            : TypedResults.NotFound();
    }
}
