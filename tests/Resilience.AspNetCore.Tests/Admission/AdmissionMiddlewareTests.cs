using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Features.Authentication;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Admission;

public sealed class AdmissionMiddlewareTests
{
    private static readonly RequestPriorityAttribute Low = new(Priority.Low);
    private static readonly RequestPriorityAttribute Critical = new(Priority.Critical);

    [Fact]
    public async Task Invoke_Full_Refuses503WithJitteredRetryAfterAndReachesNothing()
    {
        await using Pipeline pipeline = Pipeline.Create();
        pipeline.Fill();
        var seconds = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < 200; i++)
        {
            HttpContext context = pipeline.Request("/any", Low);
            await pipeline.InvokeAsync(context);
            Assert.Equal(StatusCodes.Status503ServiceUnavailable, context.Response.StatusCode);
            seconds.Add(context.Response.Headers.RetryAfter.ToString());
        }

        Assert.Equal(["1", "2", "3", "4", "5"], seconds.Order(StringComparer.Ordinal));
        Assert.Equal(0, pipeline.Reached);
        Assert.Empty(pipeline.Logs.Entries);
    }

    /// <summary>A refusal comes before everything dear: whoever touches a service, the body or the caller's identity throws.</summary>
    [Fact]
    public async Task Invoke_Full_TouchesNoServiceNoBodyAndNoUser()
    {
        await using Pipeline pipeline = Pipeline.Create();
        pipeline.Fill();
        DefaultHttpContext context = pipeline.Request("/any", Low);
        context.Features.Set<IServiceProvidersFeature>(new Untouchable());
        context.Features.Set<IHttpAuthenticationFeature>(new Untouchable());
        context.Request.Body = new Untouchable.Stream();
        await pipeline.InvokeAsync(context);
        Assert.Equal(StatusCodes.Status503ServiceUnavailable, context.Response.StatusCode);
        Assert.Throws<InvalidOperationException>(() => context.RequestServices);
        Assert.Throws<InvalidOperationException>(() => context.Request.Body.ReadByte());
    }

    /// <summary>What is turned away or answered by a fallback is so quick that the shortest time would be that of no work at all.</summary>
    [Theory]
    [InlineData(200, false, true)]
    [InlineData(302, false, true)]
    [InlineData(404, false, true)]
    [InlineData(200, true, false)]
    [InlineData(401, false, false)]
    [InlineData(403, false, false)]
    [InlineData(429, false, false)]
    [InlineData(500, false, false)]
    public async Task Invoke_AnswerThatIsNoWork_TeachesNothing(int status, bool fallback, bool teaches)
    {
        await using Pipeline pipeline = Pipeline.Create();
        pipeline.Handler = context =>
        {
            context.Response.StatusCode = status;
            if (fallback)
            {
                context.Features.Set(new AspNetCore.Features.FallbackAnswered());
            }

            return Task.CompletedTask;
        };
        for (int i = 0; i < 500; i++)
        {
            await pipeline.InvokeAsync(pipeline.Request("/any"));
        }

        int before = pipeline.Admission.LimitOf(Priority.Normal);
        for (int tick = 0; tick < 12; tick++)
        {
            // Hot, so that the limit is what was learnt of throughput and time; or the least there is.
            ((ITickListener)pipeline.Admission).Tick(new SystemSample(tick * 100, 100, 1, 0, 0, 0), PressureLevel.Normal, 0);
        }

        Assert.True(pipeline.Admission.IsHot);
        Assert.Equal(teaches, pipeline.Admission.MaxPass > 0);
        Assert.True(pipeline.Admission.LimitOf(Priority.Normal) <= before);
    }

    [Theory]
    [InlineData("/health")]
    [InlineData("/health/live")]
    [InlineData("/metrics")]
    public async Task Invoke_BypassedPath_IsAlwaysAdmitted(string path)
    {
        await using Pipeline pipeline = Pipeline.Create();
        pipeline.Fill();
        await pipeline.InvokeAsync(pipeline.Request(path, Low));
        Assert.Equal(1, pipeline.Reached);
    }

    [Fact]
    public async Task Invoke_SimilarPath_IsNotBypassed()
    {
        await using Pipeline pipeline = Pipeline.Create();
        pipeline.Fill();
        await pipeline.InvokeAsync(pipeline.Request("/healthy", Low));
        Assert.Equal(0, pipeline.Reached);
    }

    [Fact]
    public async Task Invoke_BypassMetadata_IsAlwaysAdmitted()
    {
        await using Pipeline pipeline = Pipeline.Create();
        pipeline.Fill();
        await pipeline.InvokeAsync(pipeline.Request("/any", new BypassAdmissionAttribute()));
        Assert.Equal(1, pipeline.Reached);
    }

    [Fact]
    public async Task Invoke_UntrustedCallerPromotesItself_IsNotHeard()
    {
        await using Pipeline pipeline = Pipeline.Create(
            new("Resilience:Degrade:Admission:PriorityHeader", "X-Priority"),
            new("Resilience:Degrade:Admission:TrustedPeers:0", "10.0.0.0/8"));
        pipeline.Fill();
        HttpContext outsider = pipeline.Request("/any");
        outsider.Request.Headers["X-Priority"] = "critical";
        outsider.Connection.RemoteIpAddress = IPAddress.Parse("203.0.113.9");
        await pipeline.InvokeAsync(outsider);
        Assert.Equal(0, pipeline.Reached);

        HttpContext peer = pipeline.Request("/any");
        peer.Request.Headers["X-Priority"] = "critical";
        peer.Connection.RemoteIpAddress = IPAddress.Parse("10.1.2.3");
        await pipeline.InvokeAsync(peer);
        Assert.Equal(1, pipeline.Reached);
    }

    [Fact]
    public async Task Invoke_TrustedCaller_CannotRaiseWhatTheEndpointDeclares()
    {
        await using Pipeline pipeline = Pipeline.Create(
            new("Resilience:Degrade:Admission:PriorityHeader", "X-Priority"),
            new("Resilience:Degrade:Admission:TrustedPeers:0", "10.0.0.0/8"));
        pipeline.Fill();
        HttpContext raised = pipeline.Request("/any", Low);
        raised.Request.Headers["X-Priority"] = "critical";
        raised.Connection.RemoteIpAddress = IPAddress.Parse("10.1.2.3");
        await pipeline.InvokeAsync(raised);
        Assert.Equal(0, pipeline.Reached);

        HttpContext lowered = pipeline.Request("/any", Critical);
        lowered.Request.Headers["X-Priority"] = "bulk";
        lowered.Connection.RemoteIpAddress = IPAddress.Parse("10.1.2.3");
        await pipeline.InvokeAsync(lowered);
        Assert.Equal(0, pipeline.Reached);
    }

    [Fact]
    public async Task Invoke_HandlerThrows_ThePlaceIsFree()
    {
        await using Pipeline pipeline = Pipeline.Create();
        pipeline.Handler = _ => throw new InvalidOperationException();
        await Assert.ThrowsAsync<InvalidOperationException>(() => pipeline.InvokeAsync(pipeline.Request("/any")));
        pipeline.Handler = async _ =>
        {
            await Task.Yield();
            throw new InvalidOperationException();
        };
        await Assert.ThrowsAsync<InvalidOperationException>(() => pipeline.InvokeAsync(pipeline.Request("/any")));
        Assert.Equal(0, pipeline.Admission.Inside);
    }

    [Fact]
    public async Task Invoke_AdmittedOrRefused_AllocatesNothing()
    {
        await using Pipeline pipeline = Pipeline.Create();
        HttpContext context = pipeline.Request("/any", Low);
        AllocationAssert.AtMost(0, () => pipeline.InvokeAsync(context));
        pipeline.Fill();
        AllocationAssert.AtMost(0, () => pipeline.InvokeAsync(context));
        Assert.Equal(503, context.Response.StatusCode);
    }

    [Fact]
    public async Task UseAdmission_WithoutAddAdmission_SaysWhatIsMissing()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddDegradation();
        await using WebApplication app = builder.Build();
        var error = Assert.Throws<InvalidOperationException>(() => app.UseAdmission());
        Assert.Contains("AddAdmission()", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Throws for whoever touches it.</summary>
    private sealed class Untouchable : IServiceProvidersFeature, IHttpAuthenticationFeature
    {
        public IServiceProvider RequestServices
        {
            get => throw new InvalidOperationException("a service was resolved");
            set => throw new InvalidOperationException("services were set");
        }

        public System.Security.Claims.ClaimsPrincipal? User
        {
            get => throw new InvalidOperationException("the user was asked for");
            set => throw new InvalidOperationException("the user was set");
        }

        internal sealed class Stream : MemoryStream
        {
            public override int ReadByte() => throw new InvalidOperationException("the body was read");

            public override int Read(Span<byte> buffer) => throw new InvalidOperationException("the body was read");

            public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => throw new InvalidOperationException("the body was read");
        }
    }

    private sealed class Pipeline : IAsyncDisposable
    {
        private readonly ServiceProvider _services;
        private readonly RequestDelegate _pipeline;

        private Pipeline(ServiceProvider services, LogCollector logs)
        {
            _services = services;
            Logs = logs;
            Handler = _ =>
            {
                Reached++;
                return Task.CompletedTask;
            };
            var app = new ApplicationBuilder(services);
            app.UseAdmission();
            app.Run(context => Handler(context));
            _pipeline = app.Build();
        }

        public LogCollector Logs { get; }

        public RequestDelegate Handler { get; set; }

        public int Reached { get; private set; }

        public AdmissionController Admission => _services.GetRequiredService<AdmissionController>();

        public static Pipeline Create(params KeyValuePair<string, string?>[] settings)
        {
            var logs = new LogCollector();
            var services = new ServiceCollection();
            services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Trace).AddProvider(logs));
            services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection(settings).Build());
            services.AddDegradation().AddAdmission();
            return new Pipeline(services.BuildServiceProvider(), logs);
        }

        /// <summary>Takes every place there is for anything but critical work.</summary>
        public void Fill()
        {
            while (Admission.TryEnter(Priority.Normal, out _) == AdmissionResult.Admitted)
            {
            }
        }

        public DefaultHttpContext Request(string path, params object[] metadata)
        {
            var context = new DefaultHttpContext();
            context.Request.Path = path;
            context.SetEndpoint(new Endpoint(null, new EndpointMetadataCollection(metadata), "test"));
            return context;
        }

        public Task InvokeAsync(HttpContext context) => _pipeline(context);

        public async ValueTask DisposeAsync()
        {
            await _services.DisposeAsync();
            Logs.Dispose();
        }
    }
}
