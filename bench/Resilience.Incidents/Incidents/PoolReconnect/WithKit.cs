using Resilience.Pools;

namespace Resilience.Incidents.Incidents.PoolReconnect;

/// <summary>
/// The kit's pool makes connections itself, a few at a time, whoever waits; a create belongs to the pool and is not thrown away when its
/// caller leaves. While the server is down one probe at a time asks for it, and callers are told at once.
/// </summary>
internal sealed class WithKit(ResourcePool<Server.Session> pool) : INode
{
    public static IResourceFactory<Server.Session> Factory(Server server) =>
        new ResourceFactory<Server.Session>(async cancellationToken => await server.ConnectAsync(cancellationToken))
        {
            Fatal = static (_, exception) => exception is IOException or OperationCanceledException,
            Validate = static (session, _) => ValueTask.FromResult(!session.IsBroken),
        };

    /// <summary>Nothing to do: with <c>WarmUp</c> the host's start has waited for <c>MinIdle</c> connections.</summary>
    public Task WarmUpAsync() => Task.CompletedTask;

    public ValueTask ServeAsync(CancellationToken cancellationToken) =>
        pool.RunAsync(static (session, _, token) => session.QueryAsync(token), 0, cancellationToken);
}
