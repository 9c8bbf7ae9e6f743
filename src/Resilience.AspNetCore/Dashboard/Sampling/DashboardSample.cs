using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>One reading of everything, ready to be sent. Immutable.</summary>
/// <param name="Version">Grows by one with each sample.</param>
/// <param name="Snapshot">The figures.</param>
/// <param name="Json">The figures as UTF-8 JSON, serialized once for all who watch.</param>
/// <param name="Features">The decisions on features; <see langword="null"/> without degradation.</param>
/// <param name="Audit">The audit trail.</param>
/// <param name="History">The pressure of the last minutes, oldest first.</param>
internal sealed record DashboardSample(
    long Version,
    DashboardSnapshot Snapshot,
    ReadOnlyMemory<byte> Json,
    DegradationSnapshot? Features,
    AuditEntry[] Audit,
    IReadOnlyList<PressurePoint> History);

/// <summary>The signals at one moment.</summary>
/// <param name="T">Milliseconds of Unix time.</param>
/// <param name="Values">The value of each signal.</param>
internal sealed record PressurePoint(long T, IReadOnlyDictionary<string, double> Values);
