using System.Globalization;
using Resilience.Incidents.Incidents.Overload;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.OverloadMemory;

internal sealed class OverloadMemoryIncident : Incident
{
    public override string Name => "overload-memory";

    public override string Title => "Everybody wants a report, and each takes four megabytes";

    public override string Happened => "At the end of the quarter reports were asked for all at once. The heap stood at its limit, collections took all the time there was, requests failed for want of memory, the process was killed, and its successor met the same crowd.";

    public override string Cause => "Nothing bounded how many reports were in the making. Processor time is shared when it is short; memory is simply gone.";

    public override string Remedy => "The buffers come from a bounded pool that fits the process: who gets none within a moment is told so at once. Admission watches the heap against its limit and refuses by priority before it is full.";

    public override string Reported => "P99 < 200 ms at 30x load";

    public override Task<IncidentResult> RunAsync(ReplayRun run) => new OverloadReplay(run, Name, capacityWorkers: 50, new Dictionary<string, string?>(StringComparer.Ordinal)
    {
        ["DOTNET_GCHeapHardLimit"] = Exports.HeapLimit.ToString("X", CultureInfo.InvariantCulture),
        ["DOTNET_gcServer"] = "0",
    }).RunAsync();
}
