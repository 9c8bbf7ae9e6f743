using System.Runtime.CompilerServices;
using Xunit;

namespace Resilience.TestKit;

/// <summary>
/// Turns "allocates nothing" into an assertion: bytes per operation on the calling thread, after a warm-up, as the lowest of several
/// rounds, so that what other threads or a late tier of the compiler allocate does not count and what every operation allocates does.
/// </summary>
/// <remarks>
/// Async operations must complete synchronously, because only the calling thread's bytes are counted; one that does not fails the
/// measurement. Measure Release builds: a Debug build makes state machines classes.
/// </remarks>
public static class AllocationAssert
{
    /// <summary>How many operations make a round.</summary>
    public const int DefaultOperations = 1_000;

    private const int WarmUpRounds = 2;
    private const int Rounds = 5;

    /// <summary>Asserts that an operation allocates no more than so many bytes on average.</summary>
    /// <param name="bytes">The most it may allocate, in bytes.</param>
    /// <param name="operation">The operation; called several thousand times.</param>
    /// <param name="operations">How many operations a round has.</param>
    public static void AtMost(double bytes, Action operation, int operations = DefaultOperations) =>
        Check(bytes, BytesPerOperation(operation, operations));

    /// <inheritdoc cref="AtMost(double, Action, int)"/>
    public static void AtMost(double bytes, Func<Task> operation, int operations = DefaultOperations) =>
        Check(bytes, BytesPerOperation(operation, operations));

    /// <inheritdoc cref="AtMost(double, Action, int)"/>
    [OverloadResolutionPriority(1)] // an async lambda fits Task as well
    public static void AtMost(double bytes, Func<ValueTask> operation, int operations = DefaultOperations) =>
        Check(bytes, BytesPerOperation(operation, operations));

    /// <inheritdoc cref="AtMost(double, Action, int)"/>
    [OverloadResolutionPriority(1)] // an async lambda fits Task as well
    public static void AtMost<T>(double bytes, Func<ValueTask<T>> operation, int operations = DefaultOperations) =>
        Check(bytes, BytesPerOperation(operation, operations));

    /// <summary>Measures what an operation allocates on this thread, in bytes per operation.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="operations">How many operations a round has.</param>
    public static double BytesPerOperation(Action operation, int operations = DefaultOperations)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return Measure(operations, operation, static operation => operation());
    }

    /// <inheritdoc cref="BytesPerOperation(Action, int)"/>
    public static double BytesPerOperation(Func<Task> operation, int operations = DefaultOperations)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return Measure(operations, operation, static operation =>
        {
            Task task = operation();
            EnsureCompleted(task.IsCompleted);
            task.GetAwaiter().GetResult();
        });
    }

    /// <inheritdoc cref="BytesPerOperation(Action, int)"/>
    [OverloadResolutionPriority(1)] // an async lambda fits Task as well
    public static double BytesPerOperation(Func<ValueTask> operation, int operations = DefaultOperations)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return Measure(operations, operation, static operation =>
        {
            ValueTask task = operation();
            EnsureCompleted(task.IsCompleted);
            task.GetAwaiter().GetResult();
        });
    }

    /// <inheritdoc cref="BytesPerOperation(Action, int)"/>
    [OverloadResolutionPriority(1)] // an async lambda fits Task as well
    public static double BytesPerOperation<T>(Func<ValueTask<T>> operation, int operations = DefaultOperations)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return Measure(operations, operation, static operation =>
        {
            ValueTask<T> task = operation();
            EnsureCompleted(task.IsCompleted);
            _ = task.GetAwaiter().GetResult();
        });
    }

    /// <summary>
    /// Measures what truly asynchronous operations allocate on all threads together, in bytes per operation. Whatever else runs in the
    /// process counts too, so this is for bounds with room in them, in tests that run alone.
    /// </summary>
    /// <param name="run">Runs that many operations to their end.</param>
    /// <param name="operations">How many operations a round has.</param>
    public static async Task<double> ProcessBytesPerOperationAsync(Func<int, Task> run, int operations = DefaultOperations)
    {
        ArgumentNullException.ThrowIfNull(run);
        double least = double.MaxValue;
        for (int round = 0; round < WarmUpRounds + Rounds; round++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            await run(operations);
            double bytes = GC.GetTotalAllocatedBytes(precise: true) - before;
            least = round < WarmUpRounds ? least : Math.Min(least, bytes / operations);
        }

        return least;
    }

    private static double Measure<TOperation>(int operations, TOperation operation, Action<TOperation> call)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(operations, 1);
        double least = double.MaxValue;
        for (int round = 0; round < WarmUpRounds + Rounds; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < operations; i++)
            {
                call(operation);
            }

            double bytes = GC.GetAllocatedBytesForCurrentThread() - before;
            least = round < WarmUpRounds ? least : Math.Min(least, bytes / operations);
        }

        return least;
    }

    private static void EnsureCompleted(bool completed)
    {
        if (!completed)
        {
            Assert.Fail("The operation did not complete synchronously, so its allocations are spread over threads and cannot be counted here.");
        }
    }

    private static void Check(double most, double measured)
    {
        if (measured > most)
        {
            Assert.Fail($"An operation allocates {measured:0.##} B; at most {most:0.##} B are allowed.");
        }
    }
}
