using Resilience.Settings;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Changes of the configuration that were rejected.</summary>
internal sealed class SettingsPanel(IServiceProvider services, IEnumerable<SettingsRegistration> registrations) : IDashboardPanel
{
    private readonly SettingsRegistration[] _registrations = [.. registrations];

    public string Area => "settings";

    public DashboardSnapshot Read(DashboardSnapshot snapshot) => snapshot with
    {
        RejectedSettings =
        [
            .. _registrations
                .SelectMany(registration => registration.Resolve(services).Rejected)
                .Distinct()
                .Select(error => new RejectedSetting(error.Path, error.Value, error.Problem)),
        ],
    };
}
