namespace Resilience.Incidents.Replay;

/// <summary>A service in a process of its own, for incidents that end processes or must not share one with the load.</summary>
internal static class ServiceProcess
{
    /// <summary>The first argument that makes this program a service.</summary>
    public const string Verb = "serve";

    public static Task<int> RunAsync(string[] args) => args switch
    {
        ["overload-cpu", "naive"] => Incidents.OverloadCpu.Naive.ServeAsync(),
        ["overload-cpu", "kit"] => Incidents.OverloadCpu.WithKit.ServeAsync(),
        ["overload-memory", "naive"] => Incidents.OverloadMemory.Naive.ServeAsync(),
        ["overload-memory", "kit"] => Incidents.OverloadMemory.WithKit.ServeAsync(),
        _ => throw new NotSupportedException($"There is no service '{string.Join(' ', args)}'."),
    };
}
