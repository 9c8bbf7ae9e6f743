using System.Threading.Channels;
using Microsoft.AspNetCore.Http;

namespace Resilience.Incidents.Incidents.GatewayPointer;

/// <summary>A payment as the gateway's handlers see it.</summary>
internal sealed class PaymentRequest(HttpContext context, string? payment, byte[] body)
{
    public string? Payment => payment;

    public byte[] Body => body;

    /// <summary>Where it came in.</summary>
    public string Path => context.Request.Path;
}

/// <summary>
/// The audit is not to slow payments down, so it is written in the background: an unbounded channel of small lambdas and one reader.
/// </summary>
/// <remarks>
/// Why it fails: the lambda names <c>request</c> because it wants two short strings of it. That one pointer keeps the whole payment, body
/// and all, for as long as the audit is behind. And the server uses a connection's context again for its next request: when the lambda
/// runs at last, the path that it reads is somebody else's, or there is none.
/// </remarks>
internal sealed class Naive
{
    private readonly Channel<Func<Task>> _work = Channel.CreateUnbounded<Func<Task>>();
    private readonly AuditStore _store;
    private readonly Task _reader;

    public Naive(AuditStore store)
    {
        _store = store;
        _reader = Task.Run(RunAsync);
    }

    public ValueTask PayAsync(HttpContext context, byte[] body)
    {
        var request = new PaymentRequest(context, context.Request.Headers["X-Payment"], body);
        return _work.Writer.WriteAsync(async () =>
        {
            await _store.WhenOpen;
            await _store.WriteAsync($"{request.Payment} {request.Path}");
        });
    }

    public async Task DrainAsync()
    {
        _work.Writer.Complete();
        await _reader;
    }

    private async Task RunAsync()
    {
        await foreach (Func<Task> audit in _work.Reader.ReadAllAsync())
        {
            try
            {
                await audit();
            }
            catch (Exception)
            {
                _store.Failures++; // the request is gone: nothing to read any more
            }
        }
    }
}
