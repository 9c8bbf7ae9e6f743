using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace Resilience.TestKit;

/// <summary>
/// A TCP proxy on loopback that misbehaves on demand, switchable while connections live: per direction it delays, stalls, trickles or
/// cuts after some bytes (<see cref="ToServer"/>, <see cref="ToClient"/>); as a whole it cuts what is open and refuses what is new.
/// Thread-safe. Disposing cuts everything.
/// </summary>
public sealed class ChaosProxy : IAsyncDisposable
{
    private const int ChunkBytes = 16 * 1024;
    private const int ChunksInFlight = 64; // back-pressure: what a stalled direction holds before it stops reading
    private const int TrickleSlicesPerSecond = 50;

    private readonly Lock _lock = new(); // guards _listener, _connections, _accepted, _disposed, _waiters
    private readonly HashSet<Connection> _connections = [];
    private readonly List<(int AtLeast, TaskCompletionSource Reached)> _waiters = [];
    private readonly IPEndPoint _server;
    private TcpListener? _listener;
    private int _accepted;
    private bool _disposed;

    private ChaosProxy(IPEndPoint server, int port)
    {
        _server = server;
        Port = port;
        ToServer = new ChaosLink(Cut);
        ToClient = new ChaosLink(Cut);
    }

    /// <summary>The loopback port it listens on.</summary>
    public int Port { get; }

    /// <summary>Host and port, such as <c>127.0.0.1:20311</c>.</summary>
    public string Endpoint => $"127.0.0.1:{Port}";

    /// <summary>What clients say to the server.</summary>
    public ChaosLink ToServer { get; }

    /// <summary>What the server says to clients.</summary>
    public ChaosLink ToClient { get; }

    /// <summary>How many connections have been taken since the start.</summary>
    public int Accepted
    {
        get
        {
            lock (_lock)
            {
                return _accepted;
            }
        }
    }

    /// <summary>How many connections are open.</summary>
    public int Open
    {
        get
        {
            lock (_lock)
            {
                return _connections.Count;
            }
        }
    }

    /// <summary>Whether new connections are refused (nobody listens); open ones go on.</summary>
    public bool RefusesNew
    {
        get
        {
            lock (_lock)
            {
                return _listener is null;
            }
        }

        set
        {
            lock (_lock)
            {
                if (value)
                {
                    _listener?.Stop();
                    _listener = null;
                }
                else if (_listener is null && !_disposed)
                {
                    ListenUnderLock();
                }
            }
        }
    }

    /// <summary>Starts one in front of a server.</summary>
    /// <param name="serverPort">The server's loopback port.</param>
    public static ChaosProxy Start(int serverPort)
    {
        while (true)
        {
            var proxy = new ChaosProxy(new IPEndPoint(IPAddress.Loopback, serverPort), FreePort.Next());
            try
            {
                proxy.RefusesNew = false;
                return proxy;
            }
            catch (SocketException exception) when (exception.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                // somebody was quicker: draw another port
            }
        }
    }

    /// <summary>Starts one in front of a server.</summary>
    /// <param name="server">The server.</param>
    public static ChaosProxy Start(ServerProcess server)
    {
        ArgumentNullException.ThrowIfNull(server);
        return Start(server.Port);
    }

    /// <summary>Cuts every open connection on both sides with a reset, as a crashed host or an idle timeout of a firewall does.</summary>
    public void Cut()
    {
        Connection[] connections;
        lock (_lock)
        {
            connections = [.. _connections];
        }

        foreach (Connection connection in connections)
        {
            connection.Reset();
        }
    }

    /// <summary>
    /// Makes every open connection silent for ever, both ways and without a word: what is sent is taken and lost, as by a firewall that has forgotten
    /// the connection or a host that vanished. New ones are not concerned, and <see cref="Heal"/> does not bring the old ones back.
    /// </summary>
    public void Forget()
    {
        lock (_lock)
        {
            foreach (Connection connection in _connections)
            {
                connection.Forget();
            }
        }
    }

    /// <summary>Ends every fault: nothing is stalled, delayed, slowed or refused any more.</summary>
    public void Heal()
    {
        foreach (ChaosLink link in new[] { ToServer, ToClient })
        {
            link.CutAfter(null);
            link.Delay = TimeSpan.Zero;
            link.BytesPerSecond = 0;
            link.Stalled = false;
        }

        RefusesNew = false;
    }

    /// <summary>Waits until that many connections have been taken since the start.</summary>
    /// <param name="atLeast">How many.</param>
    /// <param name="timeout">How long to wait; <see cref="Eventually.Patience"/> by default.</param>
    /// <exception cref="TimeoutException">They did not come in time.</exception>
    public Task WaitForAcceptedAsync(int atLeast, TimeSpan? timeout = null)
    {
        lock (_lock)
        {
            if (_accepted >= atLeast)
            {
                return Task.CompletedTask;
            }

            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((atLeast, reached));
            return reached.Task.WaitAsync(timeout ?? Eventually.Patience);
        }
    }

    /// <summary>Stops listening and cuts everything.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] pumps;
        lock (_lock)
        {
            _disposed = true;
            _listener?.Stop();
            _listener = null;
            pumps = [.. _connections.Select(connection => connection.Completion)];
        }

        ToServer.Stalled = ToClient.Stalled = false;
        Cut();
        await Task.WhenAll(pumps);
    }

    private void ListenUnderLock()
    {
        var listener = new TcpListener(IPAddress.Loopback, Port);
        listener.Start(512);
        _listener = listener;
        using (ExecutionContext.SuppressFlow())
        {
            _ = Task.Run(() => AcceptAsync(listener));
        }
    }

    private async Task AcceptAsync(TcpListener listener)
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await listener.AcceptSocketAsync();
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                return; // the listener was stopped
            }

            var connection = new Connection(this, client);
            lock (_lock)
            {
                if (_disposed)
                {
                    connection.Reset();
                    return;
                }

                _connections.Add(connection);
                _accepted++;
                foreach ((_, TaskCompletionSource reached) in _waiters.Where(waiter => _accepted >= waiter.AtLeast))
                {
                    reached.TrySetResult();
                }

                connection.Start();
            }
        }
    }

    private void Remove(Connection connection)
    {
        lock (_lock)
        {
            _connections.Remove(connection);
        }
    }

    private sealed class Connection(ChaosProxy owner, Socket client)
    {
        private readonly Socket _server = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        private readonly CancellationTokenSource _ended = new();
        private volatile bool _isForgotten;

        public Task Completion { get; private set; } = Task.CompletedTask;

        public void Start() => Completion = Task.Run(RunAsync);

        public void Forget() => _isForgotten = true;

        public void Reset()
        {
            _ended.Cancel();
            foreach (Socket socket in new[] { client, _server })
            {
                try
                {
                    socket.LingerState = new LingerOption(enable: true, seconds: 0); // close sends RST
                }
                catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
                {
                    // not connected, or closed already
                }

                socket.Close(0); // aborts what is pending too, where a plain close would say goodbye first
            }
        }

        private async Task RunAsync()
        {
            try
            {
                client.NoDelay = true;
                await _server.ConnectAsync(owner._server, _ended.Token);
                await Task.WhenAll(PumpAsync(client, _server, owner.ToServer), PumpAsync(_server, client, owner.ToClient));
                client.Dispose();
                _server.Dispose();
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                Reset(); // one side is gone: so is the other
            }

            owner.Remove(this);
        }

        private async Task PumpAsync(Socket from, Socket to, ChaosLink link)
        {
            var chunks = Channel.CreateBounded<(byte[] Bytes, long ReadAt)>(ChunksInFlight);
            Task writing = WriteAsync(chunks.Reader, to, link);
            try
            {
                var buffer = new byte[ChunkBytes];
                while (await from.ReceiveAsync(buffer, _ended.Token) is var read && read > 0)
                {
                    await chunks.Writer.WriteAsync((buffer[..read], Stopwatch.GetTimestamp()), _ended.Token);
                }

                chunks.Writer.Complete();
                await writing;
                to.Shutdown(SocketShutdown.Send);
            }
            catch
            {
                // A failed direction ends the other too, which may be waiting in a read.
                chunks.Writer.TryComplete();
                Reset();
                throw;
            }
        }

        private async Task WriteAsync(ChannelReader<(byte[] Bytes, long ReadAt)> chunks, Socket to, ChaosLink link)
        {
            try
            {
                await foreach ((byte[] bytes, long readAt) in chunks.ReadAllAsync(_ended.Token))
                {
                    ReadOnlyMemory<byte> rest = bytes;
                    while (rest.Length > 0)
                    {
                        await link.WhenOpen().WaitAsync(_ended.Token);
                        if (_isForgotten)
                        {
                            break;
                        }

                        if (link.Delay - Stopwatch.GetElapsedTime(readAt) is var wait && wait > TimeSpan.Zero)
                        {
                            await Task.Delay(wait, _ended.Token);
                            continue; // it may have been stalled meanwhile
                        }

                        rest = await WriteSliceAsync(rest, to, link);
                    }
                }
            }
            catch
            {
                Reset();
                throw;
            }
        }

        private async Task<ReadOnlyMemory<byte>> WriteSliceAsync(ReadOnlyMemory<byte> rest, Socket to, ChaosLink link)
        {
            int rate = link.BytesPerSecond;
            int slice = rate <= 0 ? rest.Length : Math.Min(rest.Length, Math.Max(1, rate / TrickleSlicesPerSecond));
            slice = link.Allow(slice);
            for (int sent = 0; sent < slice;)
            {
                sent += await to.SendAsync(rest[sent..slice], _ended.Token);
            }

            link.OnPassed(slice);
            if (rate > 0)
            {
                await Task.Delay(TimeSpan.FromSeconds((double)slice / rate), _ended.Token);
            }

            return rest[slice..];
        }
    }
}
