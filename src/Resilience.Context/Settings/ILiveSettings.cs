using Microsoft.Extensions.Configuration;

namespace Resilience.Settings;

/// <summary>Settings of any type that reload by themselves; what health checks and the dashboard see of <see cref="LiveSettings{T}"/>.</summary>
public interface ILiveSettings
{
    /// <summary>The name of the block.</summary>
    string Name { get; }

    /// <summary>The configuration path.</summary>
    string Path { get; }

    /// <summary>Why the last reload was rejected; empty when the configuration is what is in force.</summary>
    IReadOnlyList<SettingsError> Rejected { get; }

    internal IConfigurationSection? Section { get; }

    internal SettingsReload Reload();
}

/// <summary>What came of one reload of one block.</summary>
/// <param name="Changed">Whether other settings are in force, or a rejection has ended.</param>
/// <param name="NewErrors">Errors that were not already told.</param>
/// <param name="ListenerFailures">What listeners threw.</param>
internal sealed record SettingsReload(bool Changed, IReadOnlyList<SettingsError> NewErrors, IReadOnlyList<Exception> ListenerFailures);
