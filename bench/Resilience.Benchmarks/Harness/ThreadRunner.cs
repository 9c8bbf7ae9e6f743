using System.Diagnostics;

namespace Resilience.Benchmarks.Harness;

/// <summary>
/// Runs a synchronous case on threads of its own that are started once, set up there, and released together for every batch. Each
/// thread reads its clocks itself, so that waking it is not measured.
/// </summary>
internal sealed class ThreadRunner : ICaseRunner
{
    private const double DisturbedFrom = 1.15; // wall time over processor time

    private readonly Worker[] _workers;
    private readonly SemaphoreSlim _finished = new(0);
    private int _atStart;
    private int _operations;
    private volatile Exception? _failure;

    public ThreadRunner(CompareCase @case)
    {
        _workers = [.. Enumerable.Range(0, @case.Threads).Select(index => new Worker(this, @case, index))];
        WaitForAll();
    }

    public Batch Run(int operations)
    {
        _operations = operations;
        _atStart = 0;
        long before = _workers.Length > 1 ? GC.GetTotalAllocatedBytes(precise: true) : 0;
        foreach (Worker worker in _workers)
        {
            worker.Release();
        }

        WaitForAll();
        long bytes = _workers.Length > 1 ? GC.GetTotalAllocatedBytes(precise: true) - before : _workers[0].Bytes;
        long started = _workers.Min(worker => worker.Started), ended = _workers.Max(worker => worker.Ended);
        double wall = Stopwatch.GetElapsedTime(started, ended).TotalSeconds;
        double cpu = _workers.Sum(worker => worker.CpuSeconds);
        return new Batch(wall, cpu, bytes, (long)operations * _workers.Length, wall * _workers.Length > cpu * DisturbedFrom);
    }

    public double Nanoseconds(Batch batch) => batch.WallSeconds * 1e9 / batch.Operations * _workers.Length;

    public void Dispose()
    {
        foreach (Worker worker in _workers)
        {
            worker.Stop();
        }

        _finished.Dispose();
    }

    private void WaitForAll()
    {
        for (int i = 0; i < _workers.Length; i++)
        {
            _finished.Wait();
        }

        if (_failure is { } failure)
        {
            throw new InvalidOperationException("A case failed.", failure);
        }
    }

    private sealed class Worker
    {
        private readonly SemaphoreSlim _go = new(0);
        private readonly Thread _thread;
        private readonly ThreadRunner _owner;
        private bool _stop;

        public Worker(ThreadRunner owner, CompareCase @case, int index)
        {
            _owner = owner;
            _thread = new Thread(() => Live(@case.Synchronous!, index)) { IsBackground = true, Name = $"{@case.Name} {index}" };
            _thread.UnsafeStart();
        }

        public long Started { get; private set; }

        public long Ended { get; private set; }

        public double CpuSeconds { get; private set; }

        public long Bytes { get; private set; }

        public void Release() => _go.Release();

        public void Stop()
        {
            _stop = true;
            _go.Release();
            _thread.Join();
            _go.Dispose();
        }

        private void Live(Func<int, Action<int>> setup, int index)
        {
            try
            {
                Action<int> loop = setup(index);
                _owner._finished.Release();
                while (true)
                {
                    _go.Wait();
                    if (_stop)
                    {
                        return;
                    }

                    RunBatch(loop);
                    _owner._finished.Release();
                }
            }
            catch (Exception exception)
            {
                _owner._failure = exception;
                _owner._finished.Release();
            }
        }

        private void RunBatch(Action<int> loop)
        {
            Interlocked.Increment(ref _owner._atStart);
            var spin = new SpinWait();
            while (Volatile.Read(ref _owner._atStart) < _owner._workers.Length)
            {
                spin.SpinOnce(sleep1Threshold: -1);
            }

            long bytes = GC.GetAllocatedBytesForCurrentThread();
            double cpu = ThreadClock.CpuSeconds;
            Started = Stopwatch.GetTimestamp();
            loop(_owner._operations);
            Ended = Stopwatch.GetTimestamp();
            CpuSeconds = ThreadClock.CpuSeconds - cpu;
            Bytes = GC.GetAllocatedBytesForCurrentThread() - bytes;
        }
    }
}
