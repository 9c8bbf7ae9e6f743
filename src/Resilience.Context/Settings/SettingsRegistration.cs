using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Settings;

/// <summary>Says that a block with settings is registered, so that they are validated when the host starts and watched from then on.</summary>
/// <param name="Type">The type of the settings.</param>
/// <param name="Name">The name of the block.</param>
/// <param name="Path">The configuration path.</param>
/// <param name="Resolve">Gets the live settings; throws a <see cref="SettingsException"/> when they are wrong.</param>
/// <param name="Check">Finds what is wrong, without getting anything.</param>
public sealed record SettingsRegistration(Type Type, string Name, string Path, Func<IServiceProvider, ILiveSettings> Resolve, Func<IServiceProvider, IReadOnlyList<SettingsError>> Check)
{
    /// <summary>All that is wrong with the settings of all blocks.</summary>
    internal static IReadOnlyList<SettingsError> CheckAll(IServiceProvider services) =>
    [
        .. services.GetServices<SettingsRegistration>()
            .SelectMany(registration => registration.Check(services))
            .Concat(services.GetServices<ISettingsCheck>().SelectMany(check => check.Check()))
            .Distinct(),
    ];
}
