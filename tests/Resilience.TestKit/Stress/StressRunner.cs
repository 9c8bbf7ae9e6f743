using System.Diagnostics;
using Xunit;

namespace Resilience.TestKit;

/// <summary>
/// Runs the same iteration on several workers at once for a while, each with a random source of its own derived from one seed, stops
/// at the first exception and then checks the invariants. The seed is written to the test's output and into every failure.
/// </summary>
/// <remarks>
/// <c>STRESS_SECONDS</c> sets how long a run lasts (2 by default), <c>STRESS_SEED</c> replays the random numbers of an earlier one
/// (the interleaving of threads stays the machine's). Use a runner once, from one thread.
/// </remarks>
public sealed class StressRunner
{
    /// <summary>How many workers; 4 by default.</summary>
    public int Workers { get; init; } = 4;

    /// <summary>How long the workers run; from <c>STRESS_SECONDS</c>, 2 s by default.</summary>
    public TimeSpan Duration { get; init; } = TimeSpan.FromSeconds(ReadEnvironment("STRESS_SECONDS") ?? 2);

    /// <summary>The seed; from <c>STRESS_SEED</c>, a random one by default.</summary>
    public int Seed { get; init; } = (int?)ReadEnvironment("STRESS_SEED") ?? Random.Shared.Next();

    /// <summary>The most iterations of one worker, for runs that should end sooner than <see cref="Duration"/>; unlimited by default.</summary>
    public long MaxIterations { get; init; } = long.MaxValue;

    /// <summary>How long after <see cref="Duration"/> a worker may still be in its iteration before the run is taken to hang; 30 s.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Runs on threads of their own, for synchronous code.</summary>
    /// <param name="iteration">One iteration; called over and over.</param>
    /// <param name="invariants">Checked when all workers have ended; throws if one does not hold.</param>
    /// <returns>The iterations of all workers together.</returns>
    /// <exception cref="StressFailedException">A worker threw or hung, or an invariant does not hold.</exception>
    public long Run(Action<StressWorker> iteration, Action? invariants = null)
    {
        ArgumentNullException.ThrowIfNull(iteration);
        var run = new StressRun(this);
        using var start = new Barrier(Workers);
        Thread[] threads = [.. run.Workers.Select(worker => new Thread(() =>
        {
            start.SignalAndWait();
            run.Loop(worker, iteration);
        })
        { IsBackground = true, Name = $"stress {worker.Index}" })];
        foreach (Thread thread in threads)
        {
            thread.UnsafeStart();
        }

        foreach (Thread thread in threads)
        {
            if (!thread.Join(run.TimeLeft()))
            {
                throw run.Hung();
            }
        }

        return run.Finish(invariants);
    }

    /// <summary>Runs as tasks on the thread pool, for asynchronous code.</summary>
    /// <inheritdoc cref="Run(Action{StressWorker}, Action?)"/>
    public async Task<long> RunAsync(Func<StressWorker, Task> iteration, Action? invariants = null)
    {
        ArgumentNullException.ThrowIfNull(iteration);
        var run = new StressRun(this);
        var start = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task[] tasks = [.. run.Workers.Select(worker => Task.Run(async () =>
        {
            await start.Task;
            await run.LoopAsync(worker, iteration);
        }))];
        start.SetResult();
        try
        {
            await Task.WhenAll(tasks).WaitAsync(run.TimeLeft());
        }
        catch (TimeoutException)
        {
            throw run.Hung();
        }

        return run.Finish(invariants);
    }

    private static double? ReadEnvironment(string name)
    {
        string? text = Environment.GetEnvironmentVariable(name);
        return string.IsNullOrWhiteSpace(text) ? null
            : double.TryParse(text, out double value) && value >= 0 ? value
            : throw new InvalidOperationException($"{name}={text} is not a number from 0 up.");
    }

    private sealed class StressRun
    {
        private readonly StressRunner _settings;
        private readonly long _started = Stopwatch.GetTimestamp();
        private volatile StressFailedException? _failure;

        public StressRun(StressRunner settings)
        {
            _settings = settings;
            Workers = [.. Enumerable.Range(0, settings.Workers).Select(index => new StressWorker(index, new Random(Derive(settings.Seed, index)), () => IsOver))];
            TestContext.Current.TestOutputHelper?.WriteLine($"stress: seed {settings.Seed}, {settings.Workers} workers, {settings.Duration.TotalSeconds:0.##} s");
        }

        public StressWorker[] Workers { get; }

        private bool IsOver => _failure is not null || Stopwatch.GetElapsedTime(_started) >= _settings.Duration;

        // Each worker gets through one iteration even if the machine stood still for the whole time: a run that did nothing would prove nothing.
        private bool GoesOn(StressWorker worker) =>
            worker.Iteration < _settings.MaxIterations && (!IsOver || (worker.Iteration == 0 && _failure is null));

        public void Loop(StressWorker worker, Action<StressWorker> iteration)
        {
            try
            {
                for (; GoesOn(worker); worker.Iteration++)
                {
                    iteration(worker);
                }
            }
            catch (Exception exception)
            {
                Fail(worker, exception);
            }

            worker.IsDone = true;
        }

        public async Task LoopAsync(StressWorker worker, Func<StressWorker, Task> iteration)
        {
            try
            {
                for (; GoesOn(worker); worker.Iteration++)
                {
                    await iteration(worker);
                    if (worker.Iteration % 16 == 15)
                    {
                        // Iterations that never wait would keep their threads, and workers that the pool has no thread for would not run.
                        await Task.Yield();
                    }
                }
            }
            catch (Exception exception)
            {
                Fail(worker, exception);
            }

            worker.IsDone = true;
        }

        public TimeSpan TimeLeft()
        {
            TimeSpan left = _settings.Duration + _settings.Grace - Stopwatch.GetElapsedTime(_started);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }

        public StressFailedException Hung()
        {
            // A failure that was seen explains the hang better than the hang itself.
            string stuck = string.Join(", ", Workers.Where(worker => !worker.IsDone).Select(worker => $"{worker.Index} (iteration {worker.Iteration})"));
            return _failure ?? new StressFailedException(
                $"Workers {stuck} did not end within {_settings.Grace.TotalSeconds:0.#} s after the run of {_settings.Duration.TotalSeconds:0.#} s.", _settings.Seed, null);
        }

        public long Finish(Action? invariants)
        {
            long iterations = Workers.Sum(worker => worker.Iteration);
            if (_failure is { } failure)
            {
                throw failure;
            }

            try
            {
                invariants?.Invoke();
            }
            catch (Exception exception)
            {
                throw new StressFailedException($"An invariant does not hold after {iterations} iterations: {exception.Message}", _settings.Seed, exception);
            }

            TestContext.Current.TestOutputHelper?.WriteLine($"stress: {iterations} iterations");
            return iterations;
        }

        private void Fail(StressWorker worker, Exception exception) =>
            Interlocked.CompareExchange(
                ref _failure,
                new StressFailedException($"Worker {worker.Index} failed in iteration {worker.Iteration}: {exception.Message}", _settings.Seed, exception),
                null);

        // Spreads neighbouring indexes over the whole range (the finalizer of SplitMix64), so that workers do not draw alike.
        private static int Derive(int seed, int index)
        {
            ulong z = ((ulong)(uint)seed << 32 | (uint)index) + 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return (int)(z ^ (z >> 31));
        }
    }
}
