using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using Xunit;

namespace Resilience.TestKit;

/// <summary>
/// Asserts what the garbage collector may and may not collect. The scenario runs on a thread of its own, started without a flowing
/// context and gone before the collection, so that no stack slot or ambient value of the test keeps anything alive.
/// </summary>
/// <example>
/// <code>
/// LeakAssert.Collected(probe =>
/// {
///     using var scope = RequestScope.Begin();
///     scope.Set(Key, probe.Track(new Payload()));
///     probe.Keep(new Timer(static _ => { }, null, Timeout.Infinite, Timeout.Infinite));
/// });
/// </code>
/// </example>
public static class LeakAssert
{
    private const int Collections = 3;
    private const int Attempts = 30;

    /// <summary>Asserts that every tracked payload is collectable after the scenario, while the kept roots still live.</summary>
    /// <param name="scenario">Creates, uses and ends; tracks at least one payload.</param>
    public static void Collected(Action<LeakProbe> scenario)
    {
        LeakProbe probe = Play(scenario);
        try
        {
            // Timers and pool threads let go of what they have just run a moment later, on a busy machine seconds later: hence more than one attempt.
            IReadOnlyList<string> alive = probe.Alive();
            for (int attempt = 0; attempt < Attempts && (alive = CollectAndAsk(probe)).Count > 0; attempt++)
            {
                Thread.Sleep(10 * attempt);
            }

            if (alive.Count > 0)
            {
                Assert.Fail($"Still alive after {Attempts * Collections} full collections: {string.Join(", ", alive)} ({alive.Count} of {probe.Count} payloads).");
            }
        }
        finally
        {
            probe.DisposeRoots();
        }
    }

    /// <inheritdoc cref="Collected(Action{LeakProbe})"/>
    public static void Collected(Func<LeakProbe, Task> scenario) => Collected(Synchronously(scenario));

    /// <summary>The positive control: asserts that every tracked payload is still alive, so that a green leak test means something.</summary>
    /// <param name="scenario">Leaks on purpose; tracks at least one payload.</param>
    public static void StillAlive(Action<LeakProbe> scenario)
    {
        LeakProbe probe = Play(scenario);
        try
        {
            IReadOnlyList<string> alive = CollectAndAsk(probe);
            if (alive.Count < probe.Count)
            {
                Assert.Fail($"Expected {probe.Count} payloads to be kept alive, but {probe.Count - alive.Count} were collected: the scenario does not leak, so it proves nothing.");
            }
        }
        finally
        {
            probe.DisposeRoots();
        }
    }

    /// <inheritdoc cref="StillAlive(Action{LeakProbe})"/>
    public static void StillAlive(Func<LeakProbe, Task> scenario) => StillAlive(Synchronously(scenario));

    /// <summary>Collects fully, finalizers included, and tells the bytes that live on the managed heap.</summary>
    public static long LiveBytes()
    {
        Collect();
        return GC.GetTotalMemory(forceFullCollection: true);
    }

    /// <summary>Collects all generations three times, waiting for finalizers between.</summary>
    public static void Collect()
    {
        for (int i = 0; i < Collections; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static LeakProbe Play(Action<LeakProbe> scenario)
    {
        ArgumentNullException.ThrowIfNull(scenario);
        var probe = new LeakProbe();
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                scenario(probe);
            }
            catch (Exception exception)
            {
                failure = ExceptionDispatchInfo.Capture(exception);
            }
        })
        { IsBackground = true, Name = "leak scenario" };
        thread.UnsafeStart();
        thread.Join();
        failure?.Throw();
        if (probe.Count == 0)
        {
            Assert.Fail("The scenario tracked no payload: call probe.Track on what must be collected.");
        }

        return probe;
    }

    private static IReadOnlyList<string> CollectAndAsk(LeakProbe probe)
    {
        Collect();
        return probe.Alive();
    }

    private static Action<LeakProbe> Synchronously(Func<LeakProbe, Task> scenario)
    {
        ArgumentNullException.ThrowIfNull(scenario);
        return probe => scenario(probe).GetAwaiter().GetResult();
    }
}
