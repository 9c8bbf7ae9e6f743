using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Resilience.Degrade;
using Resilience.Hosting;
using Resilience.Hosting.Configuration;
using Resilience.Hosting.Health;
using Resilience.Hosting.Pipelines;
using Resilience.Hosting.Wiring;
using Resilience.Redis;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds the whole kit to a service.</summary>
public static class ResilienceKitServiceCollectionExtensions
{
    /// <summary>
    /// Adds request scopes, caches, features, admission and, where it is configured, Redis, all read from the section <c>Resilience</c>, and joins
    /// them to one another. Pools need to know how a resource is made: add them through <paramref name="configure"/>. Calling it twice is harmless.
    /// </summary>
    /// <remarks>
    /// <para>Nothing starts a thread or opens a socket before the host starts. When it starts, all settings are validated, and every error
    /// is reported at once with its configuration path; from then on they reload live, and a reload with an error changes nothing.</para>
    /// <para>Every client of the <see cref="IHttpClientFactory"/> is bounded by the deadline of the request that calls it and told nothing about it;
    /// <c>AddRequestScopePropagation()</c> on a client also sends deadline, id, priority and baggage.</para>
    /// </remarks>
    /// <param name="services">The services.</param>
    /// <param name="configuration">The configuration that has the section <c>Resilience</c>.</param>
    /// <param name="configure">Adds caches, pools, features and pipelines by name.</param>
    public static IResilienceKitBuilder AddResilienceKit(this IServiceCollection services, IConfiguration configuration, Action<IResilienceKitBuilder>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        services.TryAddSingleton(configuration);
        var kit = new ResilienceKitBuilder(services, configuration);
        bool isFirst = !services.Any(static service => service.ServiceType == typeof(KitBlocks));
        services.AddRequestScopes();
        services.AddDegradation().AddSystemSignals().AddAdmission();
        services.AddResilienceDashboard();
        KitPipelines.Add(services);
        AddCaches(kit);
        if (isFirst)
        {
            AddFleet(kit);
            BoundHttpClients(services);
            AddWiring(services);
            AddHealthChecks(services);
        }

        configure?.Invoke(kit);
        return kit;
    }

    private static void AddCaches(ResilienceKitBuilder kit)
    {
        kit.Services.AddResilientCache();
        foreach (IConfigurationSection cache in kit.Configuration.GetSection($"{KitSections.Root}:Caches").GetChildren())
        {
            if (!string.Equals(cache.Key, "Default", StringComparison.OrdinalIgnoreCase) && KitSections.IsName(cache.Key))
            {
                kit.AddCache(cache.Key);
            }
        }

        if (kit.Configuration[$"{KitSections.Root}:Redis:Configuration"] is { Length: > 0 })
        {
            // Without the journal each node would refuse the keys that only the others know.
            kit.Services.AddRedisGuardJournal();
        }
    }

    /// <summary>What nodes share beside caches: overrides, where they can be signed, and the limits that have a section.</summary>
    private static void AddFleet(ResilienceKitBuilder kit)
    {
        IConfigurationSection root = kit.Configuration.GetSection(KitSections.Root);

        // Whatever way it was registered; the one that is there by default is of a type that no application can name.
        bool hasOwnStore = kit.Services.Any(static service => service.ServiceType == typeof(IOverrideStore) && !IsDefault(service));
        if (root["Redis:Configuration"] is { Length: > 0 } && root["Degrade:Overrides:SigningKey"] is { Length: > 0 } && !hasOwnStore)
        {
            kit.Services.AddDegradation().AddRedisOverrides(root["Degrade:Overrides:LastKnownGood"]);
        }

        foreach (IConfigurationSection limit in root.GetSection("Limits").GetChildren().Where(static limit => KitSections.IsName(limit.Key)))
        {
            kit.Services.AddRedisRateLimiter(limit.Key);
        }
    }

    private static bool IsDefault(ServiceDescriptor store) =>
        !store.IsKeyedService && store.ImplementationType is { IsPublic: false } type && type.Assembly == typeof(IOverrideStore).Assembly;

    private static void AddWiring(IServiceCollection services)
    {
        services.AddSingleton<KitBlocks>();
        services.AddSingleton<IPressureSignalSource, BlockSignals>();
        services.AddSingleton<IConfigureOptions<DegradeSettings>, AdmissionDefaults>();
        services.AddSingleton<ISettingsCheck, KitSections>();
        services.AddSingleton<ISettingsCheck, PipelineNames>();
        services.AddSingleton<IHostedService, FeatureWiring>();
    }

    /// <summary>No call lasts longer than the request that makes it. What a request carries is for those whom the application tells it to.</summary>
    private static void BoundHttpClients(IServiceCollection services) =>
        services.ConfigureHttpClientDefaults(static client => client.AddRequestScopePropagation(static options =>
        {
            options.SendDeadline = false;
            options.SendRequestId = false;
            options.SendPriority = false;
            options.SendBaggage = false;
        }));

    /// <summary>Redis' own and what liveness is come after all others, whenever those are added: whether there is a Redis is known only then.</summary>
    private static void AddHealthChecks(IServiceCollection services)
    {
        services.AddHealthChecks().Add(new HealthCheckRegistration(SettingsHealthCheck.Name, ActivatorUtilities.GetServiceOrCreateInstance<SettingsHealthCheck>, HealthStatus.Degraded, (string[])["ready"]));
        services.AddOptions<HealthCheckServiceOptions>().PostConfigure<IServiceProvider>(static (options, provider) =>
        {
            // Memory that only a restart frees is what liveness is for; nothing else of the kit's may fail it.
            options.Registrations.FirstOrDefault(static check => check.Name == "resilience-pressure")?.Tags.Add("live");
            if (provider.GetService<RedisConnection>() is { IsConfigured: true } && options.Registrations.All(static check => check.Name != RedisHealthCheck.Name))
            {
                options.Registrations.Add(new HealthCheckRegistration(RedisHealthCheck.Name, ActivatorUtilities.GetServiceOrCreateInstance<RedisHealthCheck>, HealthStatus.Degraded, (string[])["ready"]));
            }
        });
    }
}
