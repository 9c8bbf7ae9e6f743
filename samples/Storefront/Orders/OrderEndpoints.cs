using Microsoft.AspNetCore.Http.HttpResults;
using Resilience.Context;
using Resilience.Pools;
using Storefront.Catalogue;
using Storefront.Mail;

namespace Storefront.Orders;

internal static class OrderEndpoints
{
    public static void MapOrders(this IEndpointRouteBuilder app) =>
        app.MapPost("/orders", PlaceAsync).WithPriority(Priority.Critical);

    private static async Task<Results<Ok<OrderReceipt>, NotFound, ValidationProblem>> PlaceAsync(OrderRequest order, IShop shop, Mailer mailer, [FromKeyedServices("audit")] BatchWriter<AuditEntry> audit, CancellationToken cancellationToken)
    {
        if (order.Quantity is < 1 or > 100)
        {
            return TypedResults.ValidationProblem(new Dictionary<string, string[]> { [nameof(order.Quantity)] = ["must be from 1 to 100"] });
        }

        if (await shop.PlaceOrderAsync(order, cancellationToken) is not { } number)
        {
            return TypedResults.NotFound();
        }

        await audit.WriteAsync(new AuditEntry(RequestScope.Current?.Id ?? "", "order placed", number), cancellationToken);
        await mailer.QueueAsync(new OrderMail(number, order.Email), cancellationToken);
        return TypedResults.Ok(new OrderReceipt(number, order.ProductId, order.Quantity));
    }
}
