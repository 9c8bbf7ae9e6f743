using System.Threading.RateLimiting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Microsoft.FeatureManagement;
using Polly;
using Resilience.Benchmarks.Harness;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.Benchmarks.Compare;

/// <summary>What asking for a feature's state and for admission costs, beside what else there is.</summary>
internal sealed class DegradeGroup : ICompareGroup, IDisposable
{
    private static readonly Feature Plain = Feature.Declare("bench-plain", Priority.Low);
    private static readonly Feature Targeted = Feature.Declare("bench-targeted", Priority.Low);
    private static int s_state = Environment.TickCount;

    private readonly ServiceProvider _services;

    public DegradeGroup()
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            ["Resilience:Degrade:Features:bench-targeted:Mode"] = "Degraded",
            ["Resilience:Degrade:Features:bench-targeted:Percent"] = "20",
            ["Resilience:Degrade:Features:bench-targeted:Exempt:Groups:0"] = "vip",
            ["FeatureManagement:bench-flag"] = "true",
        }).Build());
        services.AddDegradation().AddSystemSignals().AddAdmission();
        services.AddFeatureManagement();
        services.Configure<DegradeSettings>("bench", _ => { });
        _services = services.BuildServiceProvider();
    }

    public IReadOnlyList<CompareCase> Cases() =>
    [
        CompareCase.Sync("volatile read", () => static operations =>
        {
            int last = 0;
            for (int i = 0; i < operations; i++)
            {
                last += Volatile.Read(ref s_state);
            }

            Sink.Keep(last);
        }),
        CompareCase.Sync("StateOf", () => StateOf),
        CompareCase.Sync("StateOf, 2 threads", 2, _ => StateOf),
        CompareCase.Sync("Decide, targeted", () => Decide),
        CompareCase.Sync("RunAsync, normal", () => Run),
        CompareCase.Sync("IOptionsMonitor.CurrentValue", () =>
        {
            var monitor = _services.GetRequiredService<IOptionsMonitor<DegradeSettings>>();
            return operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = monitor.CurrentValue;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("IOptionsMonitor.Get", () =>
        {
            var monitor = _services.GetRequiredService<IOptionsMonitor<DegradeSettings>>();
            return operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = monitor.Get("bench");
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("FeatureManagement.IsEnabledAsync", () =>
        {
            var features = _services.GetRequiredService<IFeatureManager>();
            return operations =>
            {
                int last = 0;
                for (int i = 0; i < operations; i++)
                {
                    last += features.IsEnabledAsync("bench-flag").GetAwaiter().GetResult() ? 1 : 0;
                }

                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("admit + leave", () => Admit),
        CompareCase.Sync("admit + leave, 2 threads", 2, _ => Admit),
        CompareCase.Sync("admit, refused", () =>
        {
            var admission = _services.GetRequiredService<AdmissionController>();
            return operations =>
            {
                var held = new List<AdmissionTicket>();
                while (admission.TryEnter(Priority.Low, out AdmissionTicket ticket) == AdmissionResult.Admitted)
                {
                    held.Add(ticket);
                }

                int last = 0;
                for (int i = 0; i < operations; i++)
                {
                    last += (int)admission.TryEnter(Priority.Low, out _);
                }

                held.ForEach(ticket => admission.Leave(ticket, AdmissionOutcome.Ignore));
                Sink.Keep(last);
            };
        }),
        CompareCase.Sync("ConcurrencyLimiter lease", () => Lease(Shared)),
        CompareCase.Sync("ConcurrencyLimiter lease, 2 threads", 2, _ => Lease(Shared)),
        CompareCase.Sync("AdaptiveConcurrencyLimiter lease", () => Lease(new AdaptiveConcurrencyLimiter(new Gradient2Limit()))),
        CompareCase.Sync("TokenBucketRateLimiter", () => Lease(new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions
        {
            TokenLimit = int.MaxValue,
            TokensPerPeriod = 1_000_000,
            ReplenishmentPeriod = TimeSpan.FromSeconds(1),
            AutoReplenishment = false,
        }))),
        CompareCase.Sync("ModulatedTokenBucket", () => Lease(new ModulatedTokenBucket(1e12, int.MaxValue, static () => 0))),
        CompareCase.Sync("Polly, empty pipeline", () => Pipe(ResiliencePipeline.Empty)),
        CompareCase.Sync("Polly, AddDegradation", () => Pipe(new ResiliencePipelineBuilder().AddDegradation(Plain, _services.GetRequiredService<IDegradation>()).Build())),
        CompareCase.Sync("Polly, AddAdmission", () => Pipe(new ResiliencePipelineBuilder().AddAdmission(_services.GetRequiredService<AdmissionController>()).Build())),

        // All system signals, their levels and the controller's bounds, once: at ten a second 100,000 ns are 0.1 % of a core.
        CompareCase.Sync("sampling, one tick", () =>
        {
            var monitor = _services.GetRequiredService<PressureMonitor>();
            return operations =>
            {
                for (int i = 0; i < operations; i++)
                {
                    monitor.Tick();
                }
            };
        }),
    ];

    public void Dispose()
    {
        Shared.Dispose();
        _services.Dispose();
    }

    private ConcurrencyLimiter Shared { get; } = new(new ConcurrencyLimiterOptions { PermitLimit = 64 });

    private static Action<int> Pipe(ResiliencePipeline pipeline) => operations =>
    {
        for (int i = 0; i < operations; i++)
        {
            pipeline.Execute(static () => { });
        }
    };

    private static Action<int> Lease(RateLimiter limiter) => operations =>
    {
        for (int i = 0; i < operations; i++)
        {
            limiter.AttemptAcquire().Dispose();
        }
    };

    private void StateOf(int operations)
    {
        var degradation = _services.GetRequiredService<IDegradation>();
        int last = 0;
        for (int i = 0; i < operations; i++)
        {
            last += (int)degradation.StateOf(Plain);
        }

        Sink.Keep(last);
    }

    private void Decide(int operations)
    {
        var degradation = _services.GetRequiredService<IDegradation>();
        object? last = null;
        for (int i = 0; i < operations; i++)
        {
            last = degradation.Decide(Targeted, new DegradationContext("user-4711", "standard"));
        }

        Sink.Keep(last);
    }

    private void Run(int operations)
    {
        var degradation = _services.GetRequiredService<IDegradation>();
        int last = 0;
        for (int i = 0; i < operations; i++)
        {
            last += degradation.RunAsync(Plain, static (state, _) => new ValueTask<int>(state), static (state, _) => new ValueTask<int>(-state), i).GetAwaiter().GetResult();
        }

        Sink.Keep(last);
    }

    private void Admit(int operations)
    {
        var admission = _services.GetRequiredService<AdmissionController>();
        for (int i = 0; i < operations; i++)
        {
            if (admission.TryEnter(Priority.Normal, out AdmissionTicket ticket) == AdmissionResult.Admitted)
            {
                admission.Leave(ticket, AdmissionOutcome.Success);
            }
        }
    }
}
