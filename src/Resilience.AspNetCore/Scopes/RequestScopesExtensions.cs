using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore.Scopes;
using Resilience.Context;
using Resilience.Settings;

namespace Microsoft.AspNetCore.Builder
{
    /// <summary>Puts request scopes into the pipeline.</summary>
    public static class RequestScopesApplicationBuilderExtensions
    {
        /// <summary>
        /// Begins a <see cref="RequestScope"/> for every request and ends it with the request. Put it first, after routing where the pipeline
        /// routes by hand.
        /// </summary>
        /// <param name="app">The pipeline.</param>
        /// <exception cref="InvalidOperationException"><c>AddRequestScopes()</c> was not called.</exception>
        public static IApplicationBuilder UseRequestScopes(this IApplicationBuilder app)
        {
            ArgumentNullException.ThrowIfNull(app);
            var settings = app.ApplicationServices.GetKeyedService<LiveSettings<ContextSettings>>("")
                ?? throw new InvalidOperationException("UseRequestScopes() needs services.AddRequestScopes().");
            return app.UseMiddleware<RequestScopeMiddleware>(settings);
        }
    }
}

namespace Microsoft.Extensions.DependencyInjection
{
    /// <summary>Registers request scopes.</summary>
    public static class RequestScopesServiceCollectionExtensions
    {
        /// <summary>Adds what <c>UseRequestScopes()</c> needs; settings come from <c>Resilience:Context</c>. Calling it twice is harmless.</summary>
        /// <param name="services">The services.</param>
        public static IServiceCollection AddRequestScopes(this IServiceCollection services)
        {
            ArgumentNullException.ThrowIfNull(services);
            return services.AddLiveSettings<ContextSettings>("", ContextSettings.SectionPath);
        }
    }
}
