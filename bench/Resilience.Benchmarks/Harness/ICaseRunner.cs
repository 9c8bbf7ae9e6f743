namespace Resilience.Benchmarks.Harness;

/// <summary>Runs batches of one case.</summary>
internal interface ICaseRunner : IDisposable
{
    /// <summary>Runs so many operations on each thread, or shared by all callers.</summary>
    Batch Run(int operations);

    /// <summary>The time of one operation as the row shows it, in nanoseconds.</summary>
    double Nanoseconds(Batch batch);

    /// <summary>Makes the runner for a case.</summary>
    static ICaseRunner Create(CompareCase @case) => @case.Asynchronous is null ? new ThreadRunner(@case) : new CallerRunner(@case);
}
