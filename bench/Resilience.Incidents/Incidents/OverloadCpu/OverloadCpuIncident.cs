using System.Globalization;
using Resilience.Incidents.Incidents.Overload;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.OverloadCpu;

internal sealed class OverloadCpuIncident : Incident
{
    public override string Name => "overload-cpu";

    public override string Title => "Ten and thirty times the load that the cores can bear";

    public override string Happened => "A campaign brought ten times the usual visitors. Every core was at 100 % and nobody got an answer: not a tenth of them, nobody. It stayed so until the visitors were sent away at the balancer.";

    public override string Cause => "The service began everything that came. Work that is begun and not finished before its caller leaves is wasted, and past a point all of it is.";

    public override string Remedy => "Admission, first in the pipeline, learns how much the service gets through and lets in no more, by priority: a refusal costs microseconds and says when to come again. What is let in is finished in time.";

    public override string Reported => "P99 < 200 ms at 30x load";

    public override Task<IncidentResult> RunAsync(ReplayRun run) => new OverloadReplay(run, Name, capacityWorkers: 16, new Dictionary<string, string?>(StringComparer.Ordinal)
    {
        [Pages.RoundsVariable] = Pages.MeasureRounds().ToString(CultureInfo.InvariantCulture),
    }).RunAsync();
}
