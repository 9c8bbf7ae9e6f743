using System.Net;
using System.Net.Sockets;

namespace Resilience.TestKit;

/// <summary>Finds loopback ports for servers.</summary>
public static class FreePort
{
    // Below Linux's ephemeral range (32768 up): a server that is restarted must not find its port taken by somebody's outgoing connection.
    private const int First = 18_000;
    private const int Last = 32_000;

    /// <summary>A port that nobody listens on at this moment.</summary>
    public static int Next()
    {
        while (true)
        {
            int port = Random.Shared.Next(First, Last);
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
                socket.Listen(1);
                return port;
            }
            catch (SocketException exception) when (exception.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
            {
                // taken: draw again
            }
        }
    }
}
