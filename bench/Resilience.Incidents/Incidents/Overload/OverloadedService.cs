using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Http;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;
using Resilience.TestKit;

namespace Resilience.Incidents.Incidents.Overload;

/// <summary>A service on Kestrel in a process of its own, seen from outside.</summary>
internal sealed class OverloadedService : IAsyncDisposable
{
    private const string ReadyLine = "listening on ";

    private readonly ChildProcess _process;
    private readonly IPEndPoint _server;
    private readonly byte[][] _requests;
    private readonly ConcurrentStack<HttpConnection> _idle = new();

    private OverloadedService(ChildProcess process, Uri address)
    {
        _process = process;
        _server = new IPEndPoint(IPAddress.Loopback, address.Port);
        _requests = [.. Traffic.Paths.Select(path => HttpConnection.Request(_server, path))];
    }

    public bool HasDied => _process.HasExited;

    public static async Task<OverloadedService> StartAsync(string service, string side, IReadOnlyDictionary<string, string?>? environment = null)
    {
        var options = new ChildProcessOptions { Environment = environment ?? new Dictionary<string, string?>(StringComparer.Ordinal) };
        ChildProcess process = ChildProcess.StartDotnet(typeof(OverloadedService).Assembly.Location, [ServiceProcess.Verb, service, side], options);
        string line = await process.WaitForLineAsync(ReadyLine);
        return new OverloadedService(process, new Uri(line[(line.IndexOf(ReadyLine, StringComparison.Ordinal) + ReadyLine.Length)..]));
    }

    /// <summary>Says, in the child, that it can be called.</summary>
    public static void SayReady(string address) => Console.WriteLine(ReadyLine + address);

    public async ValueTask<Reply> AskAsync(int lane, CancellationToken gone)
    {
        HttpConnection connection = _idle.TryPop(out HttpConnection? idle) ? idle : await HttpConnection.OpenAsync(_server, gone);
        try
        {
            return await connection.AskAsync(_requests[lane], gone) switch
            {
                StatusCodes.Status200OK => Reply.Ok,
                StatusCodes.Status503ServiceUnavailable or StatusCodes.Status429TooManyRequests => Reply.Refused,
                _ => Reply.Failed,
            };
        }
        finally
        {
            if (connection.IsReusable)
            {
                _idle.Push(connection);
            }
            else
            {
                connection.Dispose(); // a caller that gives up hangs up
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (HttpConnection connection in _idle)
        {
            connection.Dispose();
        }

        await _process.DisposeAsync();
    }
}

/// <summary>Who asks for what.</summary>
internal static class Traffic
{
    public const int Critical = 0;
    public const int Normal = 1;
    public const int Low = 2;

    public static readonly string[] Paths = ["/checkout", "/page", "/similar"];

    /// <summary>How many times the capacity is asked for, and the share of it that is critical: always half of the capacity in absolute terms.</summary>
    public static int Lane(ulong seed, int index, double criticalShare) => Dice.Share(seed, index) switch
    {
        var share when share < criticalShare => Critical,
        var share when share < criticalShare + 0.25 => Normal,
        _ => Low,
    };
}
