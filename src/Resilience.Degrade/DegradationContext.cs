namespace Resilience.Degrade;

/// <summary>Who a decision is for, where a feature is degraded for some and not for others.</summary>
/// <param name="User">Identifies the caller stably; a share (<c>Percent</c>) is drawn from it. <see langword="null"/> for an unknown caller, to whom every share applies.</param>
/// <param name="Group">The caller's group, such as <c>vip</c>, which may be exempt.</param>
public readonly record struct DegradationContext(string? User = null, string? Group = null);
