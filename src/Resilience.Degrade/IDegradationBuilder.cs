using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds to degradation.</summary>
public interface IDegradationBuilder
{
    /// <summary>The services.</summary>
    IServiceCollection Services { get; }
}

/// <summary>What can be added to degradation.</summary>
public static class DegradationBuilderExtensions
{
    /// <summary>
    /// Says that a feature belongs to the application: its static field is declared before the configuration is looked at, and so its name
    /// is not taken for a typing mistake. Needed only for features whose first use comes after the start.
    /// </summary>
    /// <param name="builder">The builder.</param>
    /// <param name="feature">The feature.</param>
    public static IDegradationBuilder AddFeature(this IDegradationBuilder builder, Feature feature)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(feature);
        return builder;
    }

    /// <summary>Adds the signals of the process: <c>memory</c>, <c>cpu</c> and <c>threadpool</c> (see <see cref="SystemSignals"/>). A second call changes nothing.</summary>
    /// <param name="builder">The builder.</param>
    public static IDegradationBuilder AddSystemSignals(this IDegradationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.TryAddEnumerable((ServiceDescriptor[])
        [
            ServiceDescriptor.Singleton<IPressureSignal, MemorySignal>(),
            ServiceDescriptor.Singleton<IPressureSignal, CpuSignal>(),
            ServiceDescriptor.Singleton<IPressureSignal, ThreadPoolSignal>(),
        ]);
        return builder;
    }

    /// <summary>
    /// Adds a signal of one's own. Its thresholds are those at <c>Pressure:Signals:NAME</c>, with a dot where the name has a colon; by default those of a
    /// share from 0 to 1. Of two signals with one name the first counts.
    /// </summary>
    /// <param name="builder">The builder.</param>
    /// <param name="name">The name, such as <c>pool:smtp</c>.</param>
    /// <param name="read">Reads the value; must not block and should not allocate. NaN means "unknown".</param>
    public static IDegradationBuilder AddSignal(this IDegradationBuilder builder, string name, Func<double> read)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(read);
        builder.Services.AddSingleton<IPressureSignal>(new DelegateSignal(name, read));
        return builder;
    }

    /// <summary>The same with a signal that needs services.</summary>
    /// <param name="builder">The builder.</param>
    /// <param name="name">The name, such as <c>pool:smtp</c>.</param>
    /// <param name="make">Makes the function that reads the value, once.</param>
    public static IDegradationBuilder AddSignal(this IDegradationBuilder builder, string name, Func<IServiceProvider, Func<double>> make)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(make);
        builder.Services.AddSingleton<IPressureSignal>(provider => new DelegateSignal(name, make(provider)));
        return builder;
    }

    /// <summary>Keeps overrides in a signed file of this node, so that they outlive a restart. Needs <c>Overrides:SigningKey</c>.</summary>
    /// <param name="builder">The builder.</param>
    /// <param name="path">The file; its directory must be there.</param>
    public static IDegradationBuilder AddOverrideFile(this IDegradationBuilder builder, string path)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrEmpty(path);
        builder.Services.Replace(ServiceDescriptor.Singleton<IOverrideStore>(provider => new FileOverrideStore(
            path,
            CodecOf(provider),
            provider.GetRequiredService<ILogger<FileOverrideStore>>())));
        return builder;
    }

    /// <summary>
    /// Keeps and shares overrides in a store of one's own, signed. Needs <c>Overrides:SigningKey</c>. Of several stores the last one added counts.
    /// </summary>
    /// <param name="builder">The builder.</param>
    /// <param name="make">Makes the store, once, from the services and what signs and checks commands.</param>
    /// <param name="lastKnownGood">
    /// A file on this node that keeps what the store has said, for a start while the store is away; its directory must be there. None when
    /// <see langword="null"/>.
    /// </param>
    public static IDegradationBuilder AddOverrideStore(this IDegradationBuilder builder, Func<IServiceProvider, OverrideCodec, IOverrideStore> make, string? lastKnownGood = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(make);
        builder.Services.Replace(ServiceDescriptor.Singleton(provider =>
        {
            OverrideCodec codec = CodecOf(provider);
            IOverrideStore store = make(provider, codec);
            ILogger<FileOverrideStore> logger = provider.GetRequiredService<ILogger<FileOverrideStore>>();
            return lastKnownGood is null ? store : new LastKnownGoodStore(store, new FileOverrideStore(lastKnownGood, codec, logger), logger);
        }));
        return builder;
    }

    /// <summary>Writes down who overrides what, before it takes effect.</summary>
    /// <typeparam name="TAudit">Where it is written.</typeparam>
    /// <param name="builder">The builder.</param>
    public static IDegradationBuilder AddOverrideAudit<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TAudit>(this IDegradationBuilder builder)
        where TAudit : class, IOverrideAudit
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IOverrideAudit, TAudit>());
        return builder;
    }

    private static OverrideCodec CodecOf(IServiceProvider provider) => new(
        provider.GetRequiredKeyedService<LiveSettings<DegradeSettings>>("").Current.Overrides.Key()
        ?? throw new InvalidOperationException("Overrides that are kept outside the process are signed: set Overrides:SigningKey to base64 of 32 random bytes or more."));

    /// <summary>Adds the <see cref="AdmissionController"/>. A second call changes nothing.</summary>
    /// <param name="builder">The builder.</param>
    public static IDegradationBuilder AddAdmission(this IDegradationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        if (!builder.Services.Any(service => service.ServiceType == typeof(AdmissionController)))
        {
            builder.Services.AddSingleton(provider =>
            {
                SystemSampler sampler = provider.GetRequiredService<SystemSampler>();
                return new AdmissionController(
                    provider.GetRequiredKeyedService<LiveSettings<DegradeSettings>>(""),
                    provider.GetRequiredService<TimeProvider>(),
                    () => sampler.Cores,
                    provider.GetRequiredService<DegradeMetrics>());
            });
            builder.Services.AddSingleton<ITickListener>(provider => provider.GetRequiredService<AdmissionController>());
        }

        return builder;
    }
}
