using Microsoft.AspNetCore.Http;
using Resilience.AspNetCore;
using Resilience.Context;

namespace Resilience.Incidents.Incidents.GatewayPointer;

/// <summary>
/// What the audit needs is copied into a snapshot; the work goes into the kit's bounded queue with a detached scope. The queue refuses
/// state that drags a request along.
/// </summary>
internal sealed class WithKit(AuditStore store, BackgroundWorkQueue queue)
{
    public ValueTask PayAsync(HttpContext context, byte[] body)
    {
        var request = RequestSnapshot.Of(context, "X-Payment");
        return queue.EnqueueAsync(
            RequestScope.Current!.Detach(TimeSpan.FromMinutes(10)),
            (store, request),
            static async (_, at, cancellationToken) =>
            {
                await at.store.WhenOpen.WaitAsync(cancellationToken);
                await at.store.WriteAsync($"{at.request.Headers["X-Payment"]} {at.request.Path}");
            },
            context.RequestAborted);
    }
}
