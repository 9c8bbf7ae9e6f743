using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;

namespace Resilience.TestKit;

/// <summary>
/// One keep-alive connection that sends a request that was made beforehand and reads a short answer. The load shares the cores with the
/// service, so a refusal must not cost the one who asks ten times what it costs the one who refuses. For one request at a time.
/// </summary>
public sealed class HttpConnection : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly byte[] _answer = new byte[2048];

    private HttpConnection()
    {
    }

    /// <summary>Whether another request may be sent.</summary>
    public bool IsReusable { get; private set; }

    /// <summary>Connects.</summary>
    /// <param name="server">The server's address.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="SocketException">The server cannot be reached.</exception>
    public static async ValueTask<HttpConnection> OpenAsync(IPEndPoint server, CancellationToken cancellationToken)
    {
        var connection = new HttpConnection();
        try
        {
            await connection._socket.ConnectAsync(server, cancellationToken);
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>The bytes of a request for a path.</summary>
    /// <param name="server">The server's address.</param>
    /// <param name="path">The path.</param>
    public static byte[] Request(IPEndPoint server, string path) => System.Text.Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n");

    /// <summary>Sends a request and returns the status of its answer once the whole of it has come.</summary>
    /// <param name="request">The request, as <see cref="Request"/> makes it.</param>
    /// <param name="cancellationToken">Ends the wait; the connection cannot be used again then.</param>
    /// <exception cref="IOException">The server closed the connection, or its answer is none that this reads.</exception>
    public async ValueTask<int> AskAsync(ReadOnlyMemory<byte> request, CancellationToken cancellationToken)
    {
        IsReusable = false;
        await _socket.SendAsync(request, SocketFlags.None, cancellationToken);
        for (int read = 0; ;)
        {
            int got = await _socket.ReceiveAsync(_answer.AsMemory(read), SocketFlags.None, cancellationToken);
            if (got == 0)
            {
                throw new IOException("The server closed the connection.");
            }

            read += got;
            if (TryRead(_answer.AsSpan(0, read), out int status))
            {
                return status;
            }
        }
    }

    /// <summary>Hangs up.</summary>
    public void Dispose() => _socket.Dispose();

    private bool TryRead(ReadOnlySpan<byte> answer, out int status)
    {
        status = 0;
        int head = answer.IndexOf("\r\n\r\n"u8);
        if (head < 0)
        {
            return answer.Length < _answer.Length ? false : throw new IOException("The head of the answer is too long.");
        }

        if (!Utf8Parser.TryParse(answer["HTTP/1.1 ".Length..], out status, out _))
        {
            throw new IOException("The answer is not HTTP/1.1.");
        }

        ReadOnlySpan<byte> headers = answer[..head];
        int field = headers.IndexOf("\r\nContent-Length: "u8);
        if (field < 0 || !Utf8Parser.TryParse(headers[(field + "\r\nContent-Length: ".Length)..], out int length, out _))
        {
            return true; // no length: the status is all that is wanted, and the connection is not used again
        }

        IsReusable = headers.IndexOf("\r\nConnection: close"u8) < 0;
        return answer.Length >= head + 4 + length;
    }
}
