namespace Resilience.Settings;

/// <summary>Says that a block with settings is registered, so that they are validated when the host starts and watched from then on.</summary>
/// <param name="Type">The type of the settings.</param>
/// <param name="Name">The name of the block.</param>
/// <param name="Path">The configuration path.</param>
/// <param name="Resolve">Gets the live settings.</param>
public sealed record SettingsRegistration(Type Type, string Name, string Path, Func<IServiceProvider, ILiveSettings> Resolve);
