using System.Collections.Concurrent;

namespace Resilience.Incidents.Incidents.PoolReconnect;

/// <summary>
/// A pool as drivers have it: some connections from the start and at most a hundred, a connect timeout, broken ones thrown away, a new one made by whoever needs
/// it, and one retry for the request that met a broken one.
/// </summary>
/// <remarks>
/// Why it fails: when the server comes back, every waiting request of every process logs in at the same moment. Queries stand in line behind
/// logins; those at the back time out at their client, whose connection, in the middle of a statement, has to be thrown away, which makes
/// one more login, while the server still works off what nobody waits for. It is up, and serves nobody: the storm feeds itself.
/// </remarks>
internal sealed class Naive(Server server) : INode
{
    private readonly ConcurrentStack<Server.Session> _idle = new();
    private readonly SemaphoreSlim _size = new(Fleet.PoolSize);

    public async Task WarmUpAsync()
    {
        for (int i = 0; i < Fleet.MinPoolSize; i++)
        {
            _idle.Push(await server.ConnectAsync(CancellationToken.None));
        }
    }

    public async ValueTask ServeAsync(CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await QueryAsync(cancellationToken);
                return;
            }
            catch (Exception exception) when (attempt <= 2 && exception is IOException or TimeoutException)
            {
                // a broken or refused connection: once more
            }
        }
    }

    private async Task QueryAsync(CancellationToken cancellationToken)
    {
        await _size.WaitAsync(cancellationToken);
        try
        {
            Server.Session session = _idle.TryPop(out Server.Session? idle) && !idle.IsBroken ? idle : await ConnectAsync();
            await session.QueryAsync(cancellationToken);
            _idle.Push(session);
        }
        finally
        {
            _size.Release();
        }
    }

    private async Task<Server.Session> ConnectAsync()
    {
        using var timeout = new CancellationTokenSource(Fleet.ConnectTimeout);
        try
        {
            return await server.ConnectAsync(timeout.Token);
        }
        catch (OperationCanceledException exception)
        {
            throw new TimeoutException("The connection attempt timed out.", exception);
        }
    }
}
