namespace Resilience.TestKit;

/// <summary>How a child process is started.</summary>
public sealed record ChildProcessOptions
{
    /// <summary>The folder it runs in; the test's own by default.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Environment variables to set, or with <see langword="null"/> to remove, on top of the test's own.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>(StringComparer.Ordinal);

    /// <summary>The user to run as; needs root and <c>setpriv</c>. The test's own by default.</summary>
    public string? User { get; init; }

    /// <summary>The signal that the kernel sends it when the test host dies, so that nothing is orphaned; KILL. Linux with <c>setpriv</c> only.</summary>
    public string DeathSignal { get; init; } = "KILL";
}
