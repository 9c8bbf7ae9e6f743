using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Benchmarks.Harness;

namespace Resilience.Benchmarks.Compare;

/// <summary>
/// What <c>UseResilienceKit()</c> costs a request that does nothing: the platform's own pipeline with a hello-world endpoint, without and with admission
/// and a request scope. No socket is in it, which would hide both.
/// </summary>
internal sealed class HostingGroup : ICompareGroup, IAsyncDisposable
{
    private readonly List<WebApplication> _apps = [];

    public IReadOnlyList<CompareCase> Cases() =>
    [
        CompareCase.Sync("hello world", () => Loop(_ => { }, static _ => { })),
        CompareCase.Sync("hello world, UseRequestScopes", () => Loop(static builder => builder.Services.AddRequestScopes(), static app => app.UseRequestScopes())),
        CompareCase.Sync("hello world, UseResilienceKit", () => Loop(static builder => builder.AddResilienceKit(), static app => app.UseResilienceKit())),
    ];

    public async ValueTask DisposeAsync()
    {
        foreach (WebApplication app in _apps)
        {
            await app.StopAsync();
            await app.DisposeAsync();
        }
    }

    private Action<int> Loop(Action<WebApplicationBuilder> add, Action<WebApplication> use)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        var server = new LoopServer();
        builder.Services.RemoveAll<IServer>();
        builder.Services.AddSingleton<IServer>(server);
        add(builder);
        WebApplication app = builder.Build();
        use(app);
        app.MapGet("/", static context => context.Response.Body.WriteAsync(Hello).AsTask());
        app.StartAsync().GetAwaiter().GetResult();
        _apps.Add(app);
        return server.Run!;
    }

    private static readonly ReadOnlyMemory<byte> Hello = "Hello, world!"u8.ToArray();

    /// <summary>Gives the application requests that come from nowhere.</summary>
    private sealed class LoopServer : IServer
    {
        public IFeatureCollection Features { get; } = new FeatureCollection();

        public Action<int>? Run { get; private set; }

        public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
            where TContext : notnull
        {
            Run = operations =>
            {
                for (int i = 0; i < operations; i++)
                {
                    TContext context = application.CreateContext(Request());
                    application.ProcessRequestAsync(context).GetAwaiter().GetResult();
                    application.DisposeContext(context, null);
                }
            };
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public void Dispose()
        {
        }

        private static FeatureCollection Request()
        {
            var features = new FeatureCollection(8);
            features.Set<IHttpRequestFeature>(new HttpRequestFeature { Method = "GET", Path = "/", Protocol = "HTTP/1.1", Scheme = "http" });
            features.Set<IHttpResponseFeature>(new HttpResponseFeature());
            features.Set<IHttpResponseBodyFeature>(new StreamResponseBodyFeature(Stream.Null));
            features.Set<IHttpRequestLifetimeFeature>(Lifetime.Instance);
            return features;
        }
    }

    private sealed class Lifetime : IHttpRequestLifetimeFeature
    {
        public static readonly Lifetime Instance = new();

        public CancellationToken RequestAborted { get; set; }

        public void Abort()
        {
        }
    }
}
