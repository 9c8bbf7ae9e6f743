using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Resilience.AspNetCore;
using Resilience.AspNetCore.Failures;
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
        /// <remarks>
        /// What fails inside because it cannot be served now (a pool without a free resource, a source that does not answer, a full queue) is
        /// answered with <c>503</c> and <c>Retry-After</c>, what was stopped by the deadline with <c>504</c>; see <see cref="FailureSettings"/>.
        /// Nothing is written once an answer has begun.
        /// </remarks>
        /// <param name="app">The pipeline.</param>
        /// <exception cref="InvalidOperationException"><c>AddRequestScopes()</c> was not called.</exception>
        public static IApplicationBuilder UseRequestScopes(this IApplicationBuilder app)
        {
            ArgumentNullException.ThrowIfNull(app);
            FailureAnswers failures = app.ApplicationServices.GetService<FailureAnswers>()
                ?? throw new InvalidOperationException("UseRequestScopes() needs services.AddRequestScopes().");
            return app.UseMiddleware<RequestScopeMiddleware>(failures, app.ApplicationServices.GetRequiredKeyedService<LiveSettings<ContextSettings>>(""));
        }
    }
}

namespace Microsoft.Extensions.DependencyInjection
{
    /// <summary>Registers request scopes.</summary>
    public static class RequestScopesServiceCollectionExtensions
    {
        /// <summary>
        /// Adds what <c>UseRequestScopes()</c> needs, with metrics, log and leak detector; settings come from <c>Resilience:Context</c>.
        /// Calling it twice is harmless.
        /// </summary>
        /// <param name="services">The services.</param>
        public static IRequestScopesBuilder AddRequestScopes(this IServiceCollection services)
        {
            ArgumentNullException.ThrowIfNull(services);
            if (!services.Any(static service => service.ServiceType == typeof(FailureAnswers)))
            {
                services.AddRequestScopeMonitor();
                services.AddLiveSettings<FailureSettings>("", FailureSettings.SectionPath);
                services.AddSingleton(static provider => ActivatorUtilities.CreateInstance<FailureAnswers>(provider, provider.GetRequiredKeyedService<LiveSettings<FailureSettings>>("")));
                services.TryAddEnumerable(ServiceDescriptor.Singleton<IExceptionHandler, FailureExceptionHandler>());
            }

            return new Builder(services);
        }

        /// <summary>Reads the value of a key from the baggage of trusted peers into the scope of a request.</summary>
        /// <param name="builder">The builder.</param>
        /// <param name="key">The key; it must have <see cref="ScopeFlow.Propagate"/>. Never take an identity from baggage.</param>
        /// <exception cref="ArgumentException">The key's values do not travel.</exception>
        public static IRequestScopesBuilder Accept(this IRequestScopesBuilder builder, ScopeKey key)
        {
            ArgumentNullException.ThrowIfNull(builder);
            ArgumentNullException.ThrowIfNull(key);
            if (!key.Flow.HasFlag(ScopeFlow.Propagate))
            {
                throw new ArgumentException($"Scope key '{key.Name}' has no ScopeFlow.Propagate, so nobody sends it.", nameof(key));
            }

            builder.Services.AddSingleton(new AcceptedScopeKey(key));
            return builder;
        }

        /// <summary>
        /// Believes callers besides those of the trusted networks, such as those that have shown a certificate of your own mesh. One rule that
        /// says yes is enough.
        /// </summary>
        /// <param name="builder">The builder.</param>
        /// <param name="trusts">Whether a caller's timeout, identifier, priority and baggage are believed; called for each request before its scope begins, so it must be quick and must not throw.</param>
        public static IRequestScopesBuilder Trust(this IRequestScopesBuilder builder, Func<HttpContext, bool> trusts)
        {
            ArgumentNullException.ThrowIfNull(builder);
            ArgumentNullException.ThrowIfNull(trusts);
            builder.Services.AddSingleton(new TrustRule(trusts));
            return builder;
        }

        /// <summary>
        /// Answers more failures with <c>503</c> and <c>Retry-After</c>, such as those of a database driver that the application calls by itself.
        /// One rule that says yes is enough.
        /// </summary>
        /// <param name="builder">The builder.</param>
        /// <param name="isUnavailable">
        /// Whether an exception means that something is not there now; called for each request that has failed with one that is not the kit's,
        /// and must not throw.
        /// </param>
        public static IRequestScopesBuilder AnswerUnavailable(this IRequestScopesBuilder builder, Func<Exception, bool> isUnavailable)
        {
            ArgumentNullException.ThrowIfNull(builder);
            ArgumentNullException.ThrowIfNull(isUnavailable);
            builder.Services.AddSingleton(new FailureRule(isUnavailable));
            return builder;
        }

        private sealed record Builder(IServiceCollection Services) : IRequestScopesBuilder;
    }
}
