namespace Resilience.AspNetCore.Failures;

/// <summary>What else of an application's exceptions means that something is not there now.</summary>
internal sealed record FailureRule(Func<Exception, bool> IsUnavailable);
