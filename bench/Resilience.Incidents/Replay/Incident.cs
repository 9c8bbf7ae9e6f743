namespace Resilience.Incidents.Replay;

/// <summary>
/// One outage that has happened to somebody, replayed on a small service as a competent team writes it before it has been burnt, and on
/// the same service with the kit, under the same load and the same seed.
/// </summary>
internal abstract class Incident
{
    /// <summary>What it is called on the command line.</summary>
    public abstract string Name { get; }

    public abstract string Title { get; }

    /// <summary>What people saw.</summary>
    public abstract string Happened { get; }

    /// <summary>Why it came to that.</summary>
    public abstract string Cause { get; }

    /// <summary>What is different with the kit.</summary>
    public abstract string Remedy { get; }

    /// <summary>The figure that was reported at the time, or what there was instead.</summary>
    public abstract string Reported { get; }

    public abstract Task<IncidentResult> RunAsync(ReplayRun run);
}
