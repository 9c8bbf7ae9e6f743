using Resilience.Context;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Lets HTTP and gRPC clients carry the current request scope on.</summary>
public static class ScopePropagationHttpClientBuilderExtensions
{
    /// <summary>
    /// Adds a <see cref="ScopePropagationHandler"/> to a client: what is left of the deadline, the identifier, the priority and the baggage
    /// of the current request go with each call. Works for gRPC clients of the client factory as well. Add it after retries, so that it
    /// sees each attempt.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="configure">What is sent; everything by default.</param>
    /// <returns>The client.</returns>
    public static IHttpClientBuilder AddRequestScopePropagation(this IHttpClientBuilder builder, Action<ScopePropagationOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddRequestScopeMonitor();
        var options = new ScopePropagationOptions();
        configure?.Invoke(options);
        return builder.AddHttpMessageHandler(provider =>
        {
            LiveSettings<ContextSettings> settings = provider.GetRequiredKeyedService<LiveSettings<ContextSettings>>("");
            return new ScopePropagationHandler(options, () => DeadlinePolicy.From(settings.Current));
        });
    }
}
