using System.Diagnostics;

namespace Resilience.Incidents.Incidents.PoolReconnect;

/// <summary>
/// A database server of four cores as a pool sees it. Logins cost processor time (a process, a handshake, a password hash), queries cost
/// some, and both stand in one line for the cores. What a client has given up on is worked off all the same. It can be down.
/// </summary>
internal sealed class Server
{
    private static readonly TimeSpan Login = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Query = TimeSpan.FromMilliseconds(2);
    private readonly Lock _lock = new(); // guards _freeAt
    private readonly long[] _freeAt = new long[4]; // for each core the timestamp at which what is assigned to it will be done
    private int _epoch;
    private int _asking;
    private int _peakAsking;
    private long _attempts;
    private volatile bool _isDown;

    public bool IsDown => _isDown;

    /// <summary>The most clients that asked to log in at once, since this was last asked.</summary>
    public int TakePeak() => Interlocked.Exchange(ref _peakAsking, Volatile.Read(ref _asking));

    public long Attempts => Interlocked.Read(ref _attempts);

    /// <summary>Breaks every session and takes no new one.</summary>
    public void GoDown()
    {
        _isDown = true;
        Interlocked.Increment(ref _epoch);
    }

    public void ComeBack() => _isDown = false;

    /// <summary>Opens a session.</summary>
    /// <exception cref="IOException">The server is down.</exception>
    /// <exception cref="OperationCanceledException">The client has given up; the server finishes the login all the same.</exception>
    public async Task<Session> ConnectAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _attempts);
        int asking = Interlocked.Increment(ref _asking);
        int peak;
        while (asking > (peak = Volatile.Read(ref _peakAsking)) && Interlocked.CompareExchange(ref _peakAsking, asking, peak) != peak)
        {
        }

        try
        {
            if (_isDown)
            {
                await Task.Delay(2, CancellationToken.None); // connection refused
                throw new IOException("Connection refused.");
            }

            return await AuthenticateAsync().WaitAsync(cancellationToken);
        }
        finally
        {
            Interlocked.Decrement(ref _asking);
        }
    }

    private async Task<Session> AuthenticateAsync()
    {
        int epoch = Volatile.Read(ref _epoch);
        await WorkAsync(Login);
        return new Session(this, epoch);
    }

    /// <summary>
    /// Stands in line for the core that is free first and takes its time there. The line is kept in figures, so that timers that fire late make
    /// an answer late and not the server slower. There is no token: the server does not know that its client has left.
    /// </summary>
    private Task WorkAsync(TimeSpan cost)
    {
        long now = Stopwatch.GetTimestamp();
        long done;
        lock (_lock)
        {
            int core = Array.IndexOf(_freeAt, _freeAt.Min());
            done = _freeAt[core] = Math.Max(now, _freeAt[core]) + (long)(cost.TotalSeconds * Stopwatch.Frequency);
        }

        return Task.Delay(Stopwatch.GetElapsedTime(now, done));
    }

    internal sealed class Session(Server server, int epoch)
    {
        public bool IsBroken => server._isDown || Volatile.Read(ref server._epoch) != epoch;

        /// <summary>Runs a statement.</summary>
        /// <exception cref="IOException">The session is broken.</exception>
        /// <exception cref="OperationCanceledException">The client has given up; the session is in the middle of a statement and of no more use.</exception>
        public async Task QueryAsync(CancellationToken cancellationToken)
        {
            ThrowIfBroken();
            await server.WorkAsync(Query).WaitAsync(cancellationToken);
            ThrowIfBroken();
        }

        private void ThrowIfBroken()
        {
            if (IsBroken)
            {
                throw new IOException("The connection was closed by the server.");
            }
        }
    }
}

/// <summary>One of several processes of the service, each with a pool of its own in front of the same server.</summary>
internal interface INode
{
    /// <summary>Opens the connections that a pool keeps ready, before there is any load.</summary>
    Task WarmUpAsync();

    ValueTask ServeAsync(CancellationToken cancellationToken);
}

internal static class Fleet
{
    public const int Nodes = 6;

    public const int PoolSize = 100;

    /// <summary>Connections that each pool opens when its process starts; more than the load needs while the server is well.</summary>
    public const int MinPoolSize = 20;

    public static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(1);
}
