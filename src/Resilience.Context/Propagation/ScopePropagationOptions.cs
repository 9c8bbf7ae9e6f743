namespace Resilience.Context;

/// <summary>What a client sends of the current request scope. Adding it to a client says that the client's servers may know these things.</summary>
public sealed class ScopePropagationOptions
{
    /// <summary>Whether what is left of the deadline is sent; true by default. It bounds the call either way.</summary>
    public bool SendDeadline { get; set; } = true;

    /// <summary>Whether the identifier of the request is sent; true by default.</summary>
    public bool SendRequestId { get; set; } = true;

    /// <summary>Whether the priority is sent; true by default.</summary>
    public bool SendPriority { get; set; } = true;

    /// <summary>Whether values whose keys have <see cref="ScopeFlow.Propagate"/> are sent as baggage; true by default.</summary>
    public bool SendBaggage { get; set; } = true;

    /// <summary>The client's own limit for one attempt; none by default.</summary>
    public TimeSpan AttemptTimeout { get; set; } = Timeout.InfiniteTimeSpan;

    /// <summary>
    /// The hosts that are told anything, such as <c>inventory</c> or <c>.internal.example</c> for all below it; every host that the client
    /// calls, by a redirect too, when empty, the default. The deadline bounds calls to all others too.
    /// </summary>
    /// <remarks>
    /// With hosts, the client follows no redirects: the platform's handler would carry the headers on to whatever host an answer names. A redirect is
    /// the answer then, and whoever follows it sends a new call, for which the hosts are asked again.
    /// </remarks>
    public IList<string> Hosts { get; } = [];

    internal bool IsTold(string host)
    {
        if (Hosts.Count == 0)
        {
            return true;
        }

        foreach (string allowed in Hosts)
        {
            bool isMatch = allowed.StartsWith('.')
                ? host.EndsWith(allowed, StringComparison.OrdinalIgnoreCase)
                : host.Equals(allowed, StringComparison.OrdinalIgnoreCase);
            if (isMatch)
            {
                return true;
            }
        }

        return false;
    }
}
