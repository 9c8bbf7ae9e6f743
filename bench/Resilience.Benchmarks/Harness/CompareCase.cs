namespace Resilience.Benchmarks.Harness;

/// <summary>
/// One row of a comparison: a loop that runs as many operations as it is told. The case loops itself, so that no delegate call per
/// operation is in what is measured.
/// </summary>
internal sealed class CompareCase
{
    private CompareCase(string name, int threads)
    {
        Name = name;
        Threads = threads;
    }

    /// <summary>What the row is called.</summary>
    public string Name { get; }

    /// <summary>How many threads, or concurrent callers of an asynchronous case.</summary>
    public int Threads { get; }

    /// <summary>Makes the loop of one thread; null for an asynchronous case.</summary>
    public Func<int, Action<int>>? Synchronous { get; private init; }

    /// <summary>Makes the loop of one caller; null for a synchronous case.</summary>
    public Func<int, Func<int, Task>>? Asynchronous { get; private init; }

    /// <summary>A synchronous case on one thread.</summary>
    /// <param name="name">What the row is called.</param>
    /// <param name="setup">Prepares, and returns the loop; runs on the thread that will run the loop.</param>
    public static CompareCase Sync(string name, Func<Action<int>> setup) => Sync(name, 1, _ => setup());

    /// <summary>The same loop on several threads that start together; <c>ns</c> is what one operation lasts for the thread that does it.</summary>
    /// <param name="name">What the row is called.</param>
    /// <param name="threads">How many.</param>
    /// <param name="setup">Prepares, and returns the loop of the thread with that number.</param>
    public static CompareCase Sync(string name, int threads, Func<int, Action<int>> setup) => new(name, threads) { Synchronous = setup };

    /// <summary>An asynchronous case with one caller.</summary>
    /// <param name="name">What the row is called.</param>
    /// <param name="setup">Prepares, and returns the loop.</param>
    public static CompareCase Async(string name, Func<Func<int, Task>> setup) => Async(name, 1, _ => setup());

    /// <summary>Several callers on the thread pool that share the operations; <c>ns</c> is wall time per operation of all of them.</summary>
    /// <param name="name">What the row is called.</param>
    /// <param name="callers">How many.</param>
    /// <param name="setup">Prepares, and returns the loop of the caller with that number.</param>
    public static CompareCase Async(string name, int callers, Func<int, Func<int, Task>> setup) => new(name, callers) { Asynchronous = setup };
}
