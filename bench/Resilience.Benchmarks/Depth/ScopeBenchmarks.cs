using BenchmarkDotNet.Attributes;
using Resilience.Context;

namespace Resilience.Benchmarks.Depth;

/// <summary>A scope's life, beside the ambient value that it stands on.</summary>
public class ScopeBenchmarks
{
    private static readonly AsyncLocal<object?> Bare = new();
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Detach);
    private readonly ScopeOptions _options = new() { Id = "benchmark", Timeout = TimeSpan.FromHours(1) };
    private RequestScope _parent = null!;

    // Begun in a flow of its own, so that it is current in none of the loops.
    [GlobalSetup]
    public async Task BeginParentAsync()
    {
        _parent = await Task.Run(() => RequestScope.Begin(_options));
        _parent.Set(Tenant, "acme");
    }

    [GlobalCleanup]
    public void EndParent() => _parent.Dispose();

    [Benchmark(Baseline = true)]
    public void SetAndRestore()
    {
        object? before = Bare.Value;
        Bare.Value = this;
        Bare.Value = before;
    }

    [Benchmark]
    public void BeginAndDispose() => RequestScope.Begin(_options).Dispose();

    [Benchmark]
    public bool BeginTokenAndDispose()
    {
        using RequestScope scope = RequestScope.Begin(_options);
        return scope.Token.IsCancellationRequested;
    }

    [Benchmark]
    public void BeginChildAndDispose() => _parent.BeginChild().Dispose();

    [Benchmark]
    public ScopeSnapshot Detach() => _parent.Detach(TimeSpan.FromSeconds(30));
}
