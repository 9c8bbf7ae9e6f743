using BenchmarkDotNet.Attributes;
using Resilience.Context;

namespace Resilience.Benchmarks.Depth;

/// <summary>A scope's life, beside the ambient value that it stands on.</summary>
public class ScopeBenchmarks
{
    private static readonly AsyncLocal<object?> Bare = new();
    private readonly ScopeOptions _options = new() { Id = "benchmark", Timeout = TimeSpan.FromHours(1) };

    [Benchmark(Baseline = true)]
    public void SetAndRestore()
    {
        object? before = Bare.Value;
        Bare.Value = this;
        Bare.Value = before;
    }

    [Benchmark]
    public void BeginAndDispose() => RequestScope.Begin(_options).Dispose();
}
