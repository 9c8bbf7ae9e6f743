namespace Microsoft.AspNetCore.Builder;

/// <summary>Puts the kit into the pipeline of a web application.</summary>
public static class ResilienceKitApplicationBuilderExtensions
{
    /// <summary>
    /// Refuses what the service cannot do under overload, by priority, and begins a request scope, with its deadline, for every request that
    /// is let in. Call it first, so that everything dear comes after it.
    /// </summary>
    /// <param name="app">The pipeline.</param>
    /// <exception cref="InvalidOperationException"><c>AddResilienceKit()</c> was not called.</exception>
    public static IApplicationBuilder UseResilienceKit(this IApplicationBuilder app)
    {
        ArgumentNullException.ThrowIfNull(app);
        app.UseAdmission();
        return app.UseRequestScopes();
    }
}
