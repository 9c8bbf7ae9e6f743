using BenchmarkDotNet.Running;
using Resilience.Benchmarks.Compare;
using Resilience.Benchmarks.Depth;
using Resilience.Benchmarks.Harness;
using Resilience.Benchmarks.HitRatio;
using Resilience.Benchmarks.Start;
using Resilience.Benchmarks.PoolWaits;

// A verb and what is left of the arguments for it; each verb is one line here and one class elsewhere.
return args switch
{
    ["compare", .. var rest] => CompareCommand.Run(rest, CompareGroups.All),
    ["hitratio", .. var rest] => HitRatioCommand.Run(rest),
    ["start", .. var rest] => StartCommand.Run(rest),
    ["pool-waits", .. var rest] => PoolWaitsCommand.Run(rest),
    ["depth", .. var rest] => Depth(rest),
    _ => Usage(),
};

static int Depth(string[] arguments)
{
    BenchmarkSwitcher.FromAssembly(typeof(DepthConfig).Assembly).Run(arguments, new DepthConfig());
    return 0;
}

static int Usage()
{
    Console.Error.WriteLine($"""
        usage: dotnet run -c Release --project bench/Resilience.Benchmarks -- <verb>
          compare [group ...] [--quick] [--repetitions N] [--case TEXT] [--detail]
              rows of group, case, ns, ratio_to_limit, bytes, threads; the first row of a group is its limit
              groups: {string.Join(", ", CompareGroups.All.Keys)}
        {HitRatioCommand.Usage}
        {StartCommand.Usage}
        {PoolWaitsCommand.Usage}
          depth [BenchmarkDotNet's own arguments]
        """);
    return 2;
}
