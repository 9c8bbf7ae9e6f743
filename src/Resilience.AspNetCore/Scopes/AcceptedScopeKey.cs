using Resilience.Context;

namespace Resilience.AspNetCore.Scopes;

/// <summary>A key whose value is read from the baggage of trusted peers.</summary>
internal sealed record AcceptedScopeKey(ScopeKey Key);
