using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore;
using Resilience.Context;
using Resilience.Incidents.Incidents.Overload;

namespace Resilience.Incidents.Incidents.OverloadCpu;

/// <summary>The same service with admission in front and a priority on each endpoint.</summary>
internal static class WithKit
{
    public static Task<int> ServeAsync() => ServiceHost.ServeAsync(
        static services => services.AddDegradation().AddSystemSignals().AddAdmission(),
        static app =>
        {
            app.UseRouting();
            app.UseAdmission();
            app.MapGet("/checkout", Pages.RenderAsync).WithPriority(Priority.Critical);
            app.MapGet("/page", Pages.RenderAsync).WithPriority(Priority.Normal);
            app.MapGet("/similar", Pages.RenderAsync).WithPriority(Priority.Low);
        });
}
