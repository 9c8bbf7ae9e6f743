namespace Resilience.Settings;

/// <summary>A check of the configuration that belongs to no single block, such as sections that no block reads. Runs when the host starts.</summary>
public interface ISettingsCheck
{
    /// <summary>All that is wrong.</summary>
    IEnumerable<SettingsError> Check();
}
