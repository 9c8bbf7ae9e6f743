using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore;
using Resilience.Context;
using Resilience.Incidents.Incidents.Overload;
using Resilience.Pools;

namespace Resilience.Incidents.Incidents.OverloadMemory;

/// <summary>
/// Buffers are what is dear, so they come from a pool with a bound that fits the process, and few may wait for one; admission in front
/// refuses by priority when memory is under pressure all the same.
/// </summary>
internal static class WithKit
{
    private const string PoolName = "report-buffers";

    public static Task<int> ServeAsync() => ServiceHost.ServeAsync(
        static services =>
        {
            services.AddRequestScopes();
            services.AddDegradation().AddSystemSignals().AddAdmission();
            services.AddResourcePool(PoolName, static (_, _) => ValueTask.FromResult(GC.AllocateUninitializedArray<byte>(Exports.BufferBytes)));
            services.Configure<PoolOptions>(PoolName, static options =>
            {
                options.MaxSize = (int)(0.6 * Exports.HeapLimit / Exports.BufferBytes);
                options.MaxWaiters = 20;
                options.AcquireTimeout = TimeSpan.FromMilliseconds(150);
                options.IdleTimeout = TimeSpan.FromMinutes(1);
            });
        },
        static app =>
        {
            app.UseRouting();
            app.UseAdmission();
            app.UseRequestScopes();
            app.MapGet("/checkout", Exports.CheckoutAsync).WithPriority(Priority.Critical);
            app.MapGet("/page", ExportAsync).WithPriority(Priority.Normal);
            app.MapGet("/similar", ExportAsync).WithPriority(Priority.Low);
        });

    private static async Task ExportAsync(HttpContext context)
    {
        var pool = context.RequestServices.GetRequiredKeyedService<ResourcePool<byte[]>>(PoolName);
        try
        {
            await pool.RunAsync(static (buffer, context, _) => Exports.ExportAsync(buffer, context), context, context.RequestAborted);
        }
        catch (PoolException)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        }
    }
}
