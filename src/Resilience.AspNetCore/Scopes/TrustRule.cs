using Microsoft.AspNetCore.Http;

namespace Resilience.AspNetCore.Scopes;

/// <summary>Whom to believe besides the trusted networks.</summary>
internal sealed record TrustRule(Func<HttpContext, bool> Trusts);
