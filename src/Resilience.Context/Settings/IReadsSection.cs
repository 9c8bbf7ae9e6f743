using Microsoft.Extensions.Configuration;

namespace Resilience.Settings;

/// <summary>
/// A step of <c>IConfigureOptions</c> that takes something from a section which is not its settings' own: when that section changes, the
/// settings are read anew, as they are when their own does.
/// </summary>
public interface IReadsSection
{
    /// <summary>The section that it reads.</summary>
    IConfigurationSection Section { get; }
}
