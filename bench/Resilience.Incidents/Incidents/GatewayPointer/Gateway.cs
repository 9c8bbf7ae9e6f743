using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Resilience.Incidents.Incidents.GatewayPointer;

/// <summary>A line of the audit: which payment was answered.</summary>
internal sealed record AuditLine(string Payment, string? Told);

/// <summary>Where the audit goes: a store that has stopped for a while, and goes on when it is opened.</summary>
internal sealed class AuditStore
{
    private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<string> _lines = [];
    private readonly Lock _lock = new(); // guards _lines

    private int _written;

    public int Failures;

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lock)
            {
                return [.. _lines];
            }
        }
    }

    public Task WhenOpen => _open.Task;

    public void Open() => _open.TrySetResult();

    /// <summary>Writes a line; every so many are pushed through to the disk, which takes a moment.</summary>
    public async ValueTask WriteAsync(string line)
    {
        if (Interlocked.Increment(ref _written) % 16 == 0)
        {
            await Task.Delay(1);
        }

        lock (_lock)
        {
            _lines.Add(line);
        }
    }
}

/// <summary>A gateway on real Kestrel that takes payments of 16 KB and audits each after it has answered.</summary>
internal sealed class Gateway : IAsyncDisposable
{
    public const int BodyBytes = 16 * 1024;

    private readonly WebApplication _app;

    private Gateway(WebApplication app) => _app = app;

    public Uri Address => new(_app.Urls.First());

    public IServiceProvider Services => _app.Services;

    public static async Task<Gateway> StartAsync(Action<IServiceCollection> configure, Action<WebApplication> use, Func<HttpContext, byte[], ValueTask> pay)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(static kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        configure(builder.Services);
        WebApplication app = builder.Build();
        use(app);
        app.MapPost("/pay/{id}", async context =>
        {
            var body = new byte[BodyBytes];
            await context.Request.Body.ReadExactlyAsync(body, context.RequestAborted);
            await pay(context, body);
            context.Response.StatusCode = StatusCodes.Status202Accepted;
        });
        await app.StartAsync();
        return new Gateway(app);
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}
