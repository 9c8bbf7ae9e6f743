using System.Diagnostics;
using System.Globalization;
using System.Runtime;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Resilience.Benchmarks.Start;

/// <summary>
/// What each step of a start takes: time, the JIT's part of it, methods compiled and assemblies loaded, in all threads. A step ends where it is
/// noted. Its own work is counted to the step after it, and adds some milliseconds to the whole.
/// </summary>
internal sealed class StartSteps
{
    private readonly List<string> _rows = [];
    private long _at = Stopwatch.GetTimestamp();
    private TimeSpan _jit = JitInfo.GetCompilationTime();
    private long _methods = JitInfo.GetCompiledMethodCount();
    private int _assemblies = AppDomain.CurrentDomain.GetAssemblies().Length;

    public static string Header => "step\tms\tjit_ms\tmethods\tassemblies";

    public IReadOnlyList<string> Rows => _rows;

    public void Note(string step)
    {
        long now = Stopwatch.GetTimestamp();
        TimeSpan jit = JitInfo.GetCompilationTime();
        long methods = JitInfo.GetCompiledMethodCount();
        int assemblies = AppDomain.CurrentDomain.GetAssemblies().Length;
        _rows.Add(string.Create(CultureInfo.InvariantCulture,
            $"{step}\t{Stopwatch.GetElapsedTime(_at, now).TotalMilliseconds:0.0}\t{(jit - _jit).TotalMilliseconds:0.0}\t{methods - _methods}\t{assemblies - _assemblies}"));
        (_jit, _methods, _assemblies) = (jit, methods, assemblies);
        _at = Stopwatch.GetTimestamp();
    }

    /// <summary>Has each hosted service that is registered by now note when it was made and when it has started.</summary>
    public void Watch(IServiceCollection services)
    {
        for (int i = 0; i < services.Count; i++)
        {
            if (services[i] is { IsKeyedService: false } service && service.ServiceType == typeof(IHostedService))
            {
                services[i] = ServiceDescriptor.Singleton<IHostedService>(provider => new Watched(Make(provider, service), this));
            }
        }
    }

    private IHostedService Make(IServiceProvider provider, ServiceDescriptor service)
    {
        Note("host, before the next");
        var made = (IHostedService)(service.ImplementationInstance ?? service.ImplementationFactory?.Invoke(provider) ?? ActivatorUtilities.CreateInstance(provider, service.ImplementationType!));
        Note($"{made.GetType().Name} is made");
        return made;
    }

    private sealed class Watched(IHostedService service, StartSteps steps) : IHostedLifecycleService
    {
        private readonly IHostedLifecycleService? _lifecycle = service as IHostedLifecycleService;

        public async Task StartingAsync(CancellationToken cancellationToken)
        {
            if (_lifecycle is not null)
            {
                steps.Note("host, before the next");
                await _lifecycle.StartingAsync(cancellationToken);
                steps.Note($"{service.GetType().Name}.StartingAsync");
            }
        }

        public async Task StartAsync(CancellationToken cancellationToken)
        {
            steps.Note("host, before the next");
            await service.StartAsync(cancellationToken);
            steps.Note($"{service.GetType().Name}.StartAsync");
        }

        public async Task StartedAsync(CancellationToken cancellationToken)
        {
            if (_lifecycle is not null)
            {
                steps.Note("host, before the next"); // the web server, before the first of them
                await _lifecycle.StartedAsync(cancellationToken);
                steps.Note($"{service.GetType().Name}.StartedAsync");
            }
        }

        public Task StoppingAsync(CancellationToken cancellationToken) => _lifecycle?.StoppingAsync(cancellationToken) ?? Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => service.StopAsync(cancellationToken);

        public Task StoppedAsync(CancellationToken cancellationToken) => _lifecycle?.StoppedAsync(cancellationToken) ?? Task.CompletedTask;
    }
}
