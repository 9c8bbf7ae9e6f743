using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.TestKit;

public sealed class ChaosProxyTests : IAsyncLifetime
{
    private readonly TcpListener _echo = new(IPAddress.Loopback, 0);
    private ChaosProxy _proxy = null!;

    public ValueTask InitializeAsync()
    {
        _echo.Start();
        _ = EchoAsync();
        _proxy = ChaosProxy.Start(((IPEndPoint)_echo.LocalEndpoint).Port);
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync();
        _echo.Stop();
    }

    [Fact]
    public async Task Healthy_PassesBytesBothWaysAndCounts()
    {
        using Socket client = await ConnectAsync();
        byte[] sent = new byte[300_000];
        Random.Shared.NextBytes(sent);

        Task sending = client.SendAsync(sent);
        byte[] received = await ReceiveAsync(client, sent.Length);
        await sending;

        Assert.Equal(sent, received);
        Assert.Equal((1, 1), (_proxy.Accepted, _proxy.Open));
        await Eventually.TrueAsync(() => (_proxy.ToServer.Passed, _proxy.ToClient.Passed) == (300_000, 300_000), "what has arrived is counted"); // after it was sent
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(0, await client.ReceiveAsync(new byte[1]));
    }

    [Fact]
    public async Task Delay_OneDirection_DelaysThatOne()
    {
        using Socket client = await ConnectAsync();
        _proxy.ToClient.Delay = TimeSpan.FromMilliseconds(150);
        long started = Stopwatch.GetTimestamp();

        await client.SendAsync(new byte[] { 1 });
        await ReceiveAsync(client, 1);

        Assert.True(Stopwatch.GetElapsedTime(started) >= TimeSpan.FromMilliseconds(149));
    }

    [Fact]
    public async Task Stall_Released_LosesNothing()
    {
        using Socket client = await ConnectAsync();
        _proxy.ToServer.Stalled = true;
        await client.SendAsync(new byte[] { 1, 2, 3 });
        Task<byte[]> answer = ReceiveAsync(client, 3);
        Assert.NotSame(answer, await Task.WhenAny(answer, Task.Delay(50, TestContext.Current.CancellationToken)));
        Assert.Equal(0, _proxy.ToServer.Passed);

        _proxy.ToServer.Stalled = false;

        Assert.Equal([1, 2, 3], await answer);
    }

    [Fact]
    public async Task Trickle_Rate_IsKept()
    {
        using Socket client = await ConnectAsync();
        _proxy.ToClient.BytesPerSecond = 10_000;
        long started = Stopwatch.GetTimestamp();

        await client.SendAsync(new byte[3_000]);
        await ReceiveAsync(client, 3_000);

        // 3,000 bytes in slices of 200: the wait after the last slice is not seen.
        Assert.True(Stopwatch.GetElapsedTime(started) >= TimeSpan.FromMilliseconds(250));
    }

    [Fact]
    public async Task Cut_OpenConnections_AreReset()
    {
        using Socket client = await ConnectAsync();
        await client.SendAsync(new byte[] { 1 });
        await ReceiveAsync(client, 1);

        _proxy.Cut();

        var exception = await Assert.ThrowsAsync<SocketException>(() => ReceiveAsync(client, 1));
        Assert.Equal(SocketError.ConnectionReset, exception.SocketErrorCode);
        using Socket second = await ConnectAsync();
        await second.SendAsync(new byte[] { 2 });
        Assert.Equal([2], await ReceiveAsync(second, 1));
    }

    [Fact]
    public async Task Forget_OpenConnections_AreSilentAndNewOnesGoOn()
    {
        using Socket old = await ConnectAsync();
        await old.SendAsync(new byte[] { 1 });
        await ReceiveAsync(old, 1);

        _proxy.Forget();
        _proxy.Heal();

        await old.SendAsync(new byte[] { 2 });
        using Socket second = await ConnectAsync();
        await second.SendAsync(new byte[] { 3 });
        Assert.Equal([3], await ReceiveAsync(second, 1));
        Task<byte[]> answer = ReceiveAsync(old, 1);
        Assert.NotSame(answer, await Task.WhenAny(answer, Task.Delay(50, TestContext.Current.CancellationToken)));
        await Eventually.TrueAsync(() => _proxy.ToServer.Passed >= 2, "what has passed is counted"); // after it was sent
        Assert.Equal((2L, 2), (_proxy.ToServer.Passed, _proxy.Open));
        _proxy.Cut();
        await Assert.ThrowsAsync<SocketException>(() => answer);
    }

    [Fact]
    public async Task CutAfter_Bytes_CutsInTheMiddle()
    {
        using Socket client = await ConnectAsync();
        _proxy.ToClient.CutAfter(5);

        await client.SendAsync(new byte[8]);

        Assert.Equal(5, (await ReceiveAsync(client, 5)).Length);
        await Assert.ThrowsAsync<SocketException>(() => ReceiveAsync(client, 1));
    }

    [Fact]
    public async Task RefusesNew_NewConnections_AreRefusedAndOldOnesGoOn()
    {
        using Socket old = await ConnectAsync();
        await _proxy.WaitForAcceptedAsync(1);
        _proxy.RefusesNew = true;

        var exception = await Assert.ThrowsAsync<SocketException>(ConnectAsync);
        Assert.Equal(SocketError.ConnectionRefused, exception.SocketErrorCode);
        await old.SendAsync(new byte[] { 1 });
        await ReceiveAsync(old, 1);
        _proxy.Heal();
        using Socket again = await ConnectAsync();
        await again.SendAsync(new byte[] { 1 });
        await ReceiveAsync(again, 1);
    }

    [Fact]
    public async Task ServerDown_Clients_AreReset()
    {
        _echo.Stop();

        // The reset may come as early as the connect's own answer.
        await Assert.ThrowsAsync<SocketException>(async () =>
        {
            using Socket client = await ConnectAsync();
            await ReceiveAsync(client, 1);
        });
    }

    private async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, _proxy.Port);
        return socket;
    }

    private static async Task<byte[]> ReceiveAsync(Socket socket, int bytes)
    {
        byte[] buffer = new byte[bytes];
        for (int read = 0; read < bytes;)
        {
            int count = await socket.ReceiveAsync(buffer.AsMemory(read)).AsTask().WaitAsync(Eventually.Patience);
            read += count > 0 ? count : throw new EndOfStreamException();
        }

        return buffer;
    }

    private async Task EchoAsync()
    {
        while (true)
        {
            Socket socket;
            try
            {
                socket = await _echo.AcceptSocketAsync();
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                return;
            }

            _ = Task.Run(async () =>
            {
                using var stream = new NetworkStream(socket, ownsSocket: true);
                try
                {
                    await stream.CopyToAsync(stream);
                    socket.Shutdown(SocketShutdown.Send);
                }
                catch (IOException)
                {
                    // the proxy cut it
                }
            });
        }
    }
}
