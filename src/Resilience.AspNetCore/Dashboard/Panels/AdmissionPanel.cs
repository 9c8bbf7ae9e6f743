using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Which requests are admitted.</summary>
internal sealed class AdmissionPanel(TimeProvider time, AdmissionController? admission = null) : IDashboardPanel
{
    private static readonly Priority[] Priorities = Enum.GetValues<Priority>();

    private readonly RateWindow[] _rates = [.. Priorities.Select(_ => new RateWindow(time))];

    public string Area => "admission";

    public DashboardSnapshot Read(DashboardSnapshot snapshot) =>
        admission is null ? snapshot : snapshot with { Admission = new AdmissionFigures(admission.Inside, admission.IsHot, [.. Priorities.Select(Class)]) };

    private AdmissionClass Class(Priority priority, int index)
    {
        double[] rates = _rates[index].PerSecond(
            admission!.Count(priority, AdmissionResult.Admitted),
            admission.Count(priority, AdmissionResult.RefusedByLoad) + admission.Count(priority, AdmissionResult.RefusedByPressure));
        return new AdmissionClass(priority.ToString(), admission.LimitOf(priority), rates[0], rates[1]);
    }
}
