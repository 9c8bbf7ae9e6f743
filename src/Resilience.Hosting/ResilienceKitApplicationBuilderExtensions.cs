namespace Microsoft.AspNetCore.Builder;

/// <summary>Puts the kit into the pipeline of a web application.</summary>
public static class ResilienceKitApplicationBuilderExtensions
{
    /// <summary>
    /// Begins a request scope, with its deadline, for every request and ends it with the request. Call it first, so that everything
    /// dear comes after it.
    /// </summary>
    /// <param name="app">The pipeline.</param>
    /// <exception cref="InvalidOperationException"><c>AddResilienceKit()</c> was not called.</exception>
    public static IApplicationBuilder UseResilienceKit(this IApplicationBuilder app)
    {
        ArgumentNullException.ThrowIfNull(app);
        return app.UseRequestScopes();
    }
}
