using System.Diagnostics;

namespace Resilience.Benchmarks.Harness;

/// <summary>One case while it is measured: its runner, how many operations its batch has, and what the batches took.</summary>
internal sealed class CaseMeasurement(CompareCase @case) : IDisposable
{
    private readonly ICaseRunner _runner = ICaseRunner.Create(@case);
    private readonly List<double> _nanoseconds = [];
    private readonly List<bool> _calm = [];
    private readonly List<double> _cpu = [];
    private readonly List<double> _bytes = [];
    private int _operations = 1;

    public CompareCase Case => @case;

    /// <summary>How many batches were measured without being disturbed.</summary>
    public int CalmBatches => _calm.Count(calm => calm);

    public double MedianNanoseconds => Median(Kept(_calm).Select(turn => _nanoseconds[turn]));

    public double LeastNanoseconds => _nanoseconds.Min();

    public double MedianCpu => Median(_cpu);

    /// <summary>How far the middle half of the batches reaches, as a part of the median.</summary>
    public double Spread
    {
        get
        {
            List<double> kept = [.. Kept(_calm).Select(turn => _nanoseconds[turn])];
            return (Quantile(kept, 0.75) - Quantile(kept, 0.25)) / Median(kept);
        }
    }

    /// <summary>Bytes per operation; the lower median, so that a foreign allocation in half the batches does not count.</summary>
    public double Bytes => Median(_bytes);

    /// <summary>
    /// Runs the loop for a while in many short batches: the number of calls is what lifts a method from tier to tier, while the
    /// number of operations is what trains the code below it.
    /// </summary>
    public void WarmUp(TimeSpan duration)
    {
        const int Calls = 40;
        Calibrate(duration / Calls);
        long started = Stopwatch.GetTimestamp();
        for (int i = 0; i < Calls && Stopwatch.GetElapsedTime(started) < duration * 3; i++)
        {
            _runner.Run(_operations);
        }
    }

    /// <summary>Finds how many operations last about as long as that.</summary>
    public void Calibrate(TimeSpan batch)
    {
        _operations = 1;
        while (true)
        {
            // The least of three: one that was disturbed would be taken for long enough, and a batch of a few operations measures how
            // callers are started.
            double seconds = Enumerable.Range(0, 3).Min(_ => Math.Max(_runner.Run(_operations).WallSeconds, 1e-7));
            double wanted = _operations * batch.TotalSeconds / seconds;
            if (seconds >= batch.TotalSeconds / 4)
            {
                _operations = (int)Math.Clamp(wanted, 1, 1e9);
                return;
            }

            _operations = (int)Math.Clamp(wanted, _operations + 1, Math.Min(_operations * 10.0, 1e9));
        }
    }

    public void Measure()
    {
        Batch batch = _runner.Run(_operations);
        _nanoseconds.Add(_runner.Nanoseconds(batch));
        _calm.Add(!batch.Disturbed);
        _cpu.Add(batch.CpuSeconds * 1e9 / batch.Operations);
        _bytes.Add((double)batch.Bytes / batch.Operations);
    }

    /// <summary>How many times as long as the limit it takes: the median over the turns in which neither was disturbed.</summary>
    public double RatioTo(CaseMeasurement limit) =>
        Median(Kept([.. _calm.Zip(limit._calm, (own, other) => own && other)]).Select(turn => _nanoseconds[turn] / limit._nanoseconds[turn]));

    public void Dispose() => _runner.Dispose();

    // A case that waits by its nature, or a machine that never lets go, has no calm turns to speak of: then all of them count.
    private static IEnumerable<int> Kept(List<bool> calm)
    {
        bool all = calm.Count(turn => turn) * 3 < calm.Count;
        return Enumerable.Range(0, calm.Count).Where(turn => all || calm[turn]);
    }

    private static double Median(IEnumerable<double> values) => Quantile(values, 0.5);

    private static double Quantile(IEnumerable<double> values, double quantile)
    {
        double[] sorted = [.. values.Order()];
        return sorted[(int)((sorted.Length - 1) * quantile)];
    }
}
