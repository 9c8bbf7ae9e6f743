using Microsoft.Extensions.DependencyInjection;

namespace Resilience.AspNetCore;

/// <summary>Says more about request scopes.</summary>
public interface IRequestScopesBuilder
{
    /// <summary>The services.</summary>
    IServiceCollection Services { get; }
}
