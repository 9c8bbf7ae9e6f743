using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore;
using Resilience.AspNetCore.Admission;
using Resilience.Degrade;
using Resilience.Settings;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Puts admission into the pipeline.</summary>
public static class AdmissionExtensions
{
    /// <summary>
    /// Refuses requests by priority when the process is overloaded, with <c>503</c> and a jittered <c>Retry-After</c>. Put it after routing, so that the
    /// priorities of endpoints are known (in a <c>WebApplication</c> routing comes first by itself), and before authentication and everything dear.
    /// </summary>
    /// <param name="app">The pipeline.</param>
    /// <exception cref="InvalidOperationException"><c>AddDegradation().AddAdmission()</c> was not called.</exception>
    public static IApplicationBuilder UseAdmission(this IApplicationBuilder app)
    {
        ArgumentNullException.ThrowIfNull(app);
        AdmissionController admission = app.ApplicationServices.GetService<AdmissionController>()
            ?? throw new InvalidOperationException("UseAdmission() needs services.AddDegradation().AddAdmission().");
        var settings = app.ApplicationServices.GetRequiredKeyedService<LiveSettings<DegradeSettings>>("");
        return app.UseMiddleware<AdmissionMiddleware>(admission, settings);
    }

    /// <summary>Admits the requests of an endpoint always: for probes and for what operators need in an overload.</summary>
    /// <typeparam name="TBuilder">The kind of endpoint.</typeparam>
    /// <param name="builder">The endpoint or group.</param>
    public static TBuilder BypassAdmission<TBuilder>(this TBuilder builder)
        where TBuilder : IEndpointConventionBuilder
    {
        builder.Add(endpoint => endpoint.Metadata.Add(new BypassAdmissionAttribute()));
        return builder;
    }
}
