using Resilience.Context;

namespace Resilience.Degrade.Tests.Simulation;

/// <summary>What is simulated.</summary>
internal sealed record Scenario
{
    public required int Cores { get; init; }

    public double CpuMs { get; init; } = 4;

    public double IoMs { get; init; } = 20;

    public double RefusalMs { get; init; } = 0.05;

    public double DeadlineMs { get; init; } = 1_000;

    public int Seed { get; init; } = 1;

    /// <summary>How long, in seconds.</summary>
    public double Seconds { get; init; } = 20;

    /// <summary>From when on goodput and successes count, in seconds.</summary>
    public double MeasureFrom { get; init; }

    public double MeasureTo { get; init; } = double.MaxValue;

    /// <summary>Arrivals per second, as a multiple of what the processors can do, over time in seconds.</summary>
    public Func<double, double> Load { get; init; } = static _ => 0.7;

    /// <summary>A factor on the input/output time over time in seconds.</summary>
    public Func<double, double> IoFactor { get; init; } = static _ => 1;

    /// <summary>A factor on the CPU time over time in seconds.</summary>
    public Func<double, double> CpuFactor { get; init; } = static _ => 1;

    /// <summary>Extra arrivals all at once: when, in seconds, and how many.</summary>
    public (double At, int Count)? Burst { get; init; }

    /// <summary>How often the whole process stops, in seconds, and for how many milliseconds.</summary>
    public (double Every, double Ms)? GcPause { get; init; }

    /// <summary>How many connections the input/output needs; unbounded when <see langword="null"/>.</summary>
    public int? Pool { get; init; }

    /// <summary>How often a client asks in all, 100 ms apart, when it is refused or answered too late.</summary>
    public int Attempts { get; init; } = 1;

    /// <summary>Makes the throttle of the clients for the clock of the simulation; none when <see langword="null"/>.</summary>
    public Func<TimeProvider, ClientThrottle>? Throttle { get; init; }

    /// <summary>Whether the clients tell their throttle what matters.</summary>
    public bool ThrottlesByPriority { get; init; } = true;

    /// <summary>
    /// The share of the processors that neighbours take, unseen in the process's own CPU time. Then the thread pool's queue is simulated too: a new item waits
    /// for all that want a processor.
    /// </summary>
    public double Stolen { get; init; }

    /// <summary>
    /// How many threads a pool has. Then arrivals wait in its queue before the door sees them, what a thread has begun it runs to its next wait, and what
    /// comes back from input/output goes first, as .NET's pool has it. Without it all that want a processor share them.
    /// </summary>
    public int? Threads { get; init; }

    public double CapacityPerSecond => Cores * (1 - Stolen) / CpuMs * 1_000;
}

/// <summary>What came of it, within the measured span.</summary>
internal sealed record Outcome(double Goodput, double CriticalSuccess, double RefusedShare, long Refused, long Arrived, long Sent, IReadOnlyList<(double At, bool Hot, double Cap, double MinRt, double MaxPass, int Inside, double Cpu, long Refused, double Pace, double Wait)> Ticks)
{
    public override string ToString() => FormattableString.Invariant($"goodput {Goodput:0.000} critical {CriticalSuccess:P1} refused {RefusedShare:P2}");
}

/// <summary>
/// A discrete-event simulation of one service under open-loop load: processors shared by all that want them, input/output beside them, a refusal that
/// costs processor time too, and priorities 5 / 25 / 70 % critical, normal and low. Deterministic by its seed.
/// </summary>
/// <remarks>
/// Processor sharing runs in virtual time: all runnable jobs advance by the same amount, so the one with the least finish in virtual time is next,
/// and an event costs a logarithm whatever the number of jobs.
/// </remarks>
internal sealed class OverloadSimulation
{
    private const double TickMs = 100;
    private const double RetryMs = 100;

    private readonly Scenario _scenario;
    private readonly IDoor _door;
    private readonly Random _random;
    private readonly double _speed;
    private readonly PriorityQueue<Job, double> _running = new(); // by finish in virtual milliseconds
    private readonly PriorityQueue<Job, double> _waiting = new(); // in input/output, by its end
    private readonly Queue<Job> _pooled = new(); // waits for a connection
    private readonly Queue<Job> _queue = new(); // waits for a thread: not seen by the door yet
    private readonly Queue<Job> _ahead = new(); // waits for a thread: back from input/output
    private readonly PriorityQueue<(Priority Priority, int Attempt), double> _retries = new(); // by when
    private readonly ClientThrottle? _throttle;
    private double _now;
    private double _virtual;
    private double _busyMs;
    private double _pausedUntil;
    private int _inside;
    private int _criticalInside;
    private int _connections;
    private long _passed;
    private double _rtSum;
    private long _refusedInTick;
    private double _pooledWait;
    private double _canaryAt = double.MaxValue; // when the sampler's item was queued
    private double _canaryWaited;

    private OverloadSimulation(Scenario scenario, IDoor door)
    {
        _scenario = scenario;
        _door = door;
        _random = new Random(scenario.Seed);
        _speed = 1 - scenario.Stolen;
        _throttle = scenario.Throttle?.Invoke(new SimulatedTime(this));
    }

    public static Outcome Run(Scenario scenario, IDoor? door = null) => new OverloadSimulation(scenario, door ?? new HybridDoor(scenario.Cores)).Run();

    private Outcome Run()
    {
        double end = _scenario.Seconds * 1_000;
        double nextArrival = NextArrival(0);
        double nextTick = TickMs;
        double nextPause = _scenario.GcPause is { } pause ? pause.Every * 1_000 : double.MaxValue;
        double burst = _scenario.Burst?.At * 1_000 ?? double.MaxValue;
        double pausedInTick = 0;
        var tally = new Tally(_scenario);
        var ticks = new List<(double, bool, double, double, double, int, double, long, double, double)>();
        while (true)
        {
            double cpuDone = _running.Count == 0 ? double.MaxValue : Math.Max(_now, _pausedUntil) + ((_running.Peek().Finish - _virtual) * Math.Max(1, (double)_running.Count / _scenario.Cores) / _speed);
            double ioDone = _waiting.TryPeek(out _, out double io) ? io : double.MaxValue;
            double retry = _retries.TryPeek(out _, out double again) ? again : double.MaxValue;
            double next = Math.Min(Math.Min(Math.Min(nextArrival, nextTick), Math.Min(cpuDone, ioDone)), Math.Min(Math.Min(nextPause, burst), retry));
            if (next > end)
            {
                return tally.Result(ticks);
            }

            AdvanceTo(next);
            if (next == cpuDone)
            {
                _virtual = _running.Peek().Finish;
                OnCpuDone(_running.Dequeue(), tally);
                Dispatch(tally);
            }
            else if (next == ioDone)
            {
                OnIoDone(_waiting.Dequeue());
                Dispatch(tally);
            }
            else if (next == retry)
            {
                (Priority priority, int attempt) = _retries.Dequeue();
                Send(priority, attempt, tally);
            }
            else if (next == nextArrival)
            {
                if (_scenario.Load(_now / 1_000) > 0)
                {
                    Arrive(tally);
                }

                nextArrival = NextArrival(_now);
            }
            else if (next == burst)
            {
                burst = double.MaxValue;
                for (int i = 0; i < _scenario.Burst!.Value.Count; i++)
                {
                    Arrive(tally);
                }
            }
            else if (next == nextPause)
            {
                _pausedUntil = _now + _scenario.GcPause!.Value.Ms;
                pausedInTick += _scenario.GcPause.Value.Ms;
                nextPause = _now + (_scenario.GcPause.Value.Every * 1_000);
            }
            else
            {
                nextTick += TickMs;
                double paused = Math.Min(pausedInTick, TickMs);
                pausedInTick -= paused;
                Tick(paused, ticks);
            }
        }
    }

    private void AdvanceTo(double time)
    {
        double from = Math.Max(_now, Math.Min(time, _pausedUntil));
        double span = time - from;
        if (span > 0 && _running.Count > 0)
        {
            _virtual += span * _speed * Math.Min(1, (double)_scenario.Cores / _running.Count);
            _busyMs += span * _speed * Math.Min(_running.Count, _scenario.Cores);
        }

        // The collector's own threads keep the processors busy.
        _busyMs += (from - _now) * _scenario.Cores;
        _now = time;
    }

    private double NextArrival(double after)
    {
        // Thinning is not needed: the load changes in steps that are long against the gaps between arrivals.
        double rate = _scenario.Load(after / 1_000) * _scenario.CapacityPerSecond / 1_000;
        return rate <= 0 ? after + TickMs : after - (Math.Log(1 - _random.NextDouble()) / rate);
    }

    private void Arrive(Tally tally)
    {
        double draw = _random.NextDouble();
        Priority priority = draw < 0.05 ? Priority.Critical : draw < 0.30 ? Priority.Normal : Priority.Low;
        tally.Arrived(_now, priority);
        Send(priority, 1, tally);
    }

    private void Send(Priority priority, int attempt, Tally tally)
    {
        if (_throttle?.TryBegin(_scenario.ThrottlesByPriority ? priority : Priority.Normal) == false)
        {
            tally.Refused(_now); // given up at the client
            return;
        }

        tally.Sent(_now);
        var job = new Job(priority, _now, attempt);
        if (_scenario.Threads is null)
        {
            Decide(job, tally);
            return;
        }

        _queue.Enqueue(job);
        Dispatch(tally);
    }

    /// <summary>Gives work to the threads that have none.</summary>
    private void Dispatch(Tally tally)
    {
        while (_running.Count < _scenario.Threads)
        {
            if (_ahead.TryDequeue(out Job? back))
            {
                Enqueue(back, HalfOfTheWork);
            }
            else if (_queue.TryDequeue(out Job? next))
            {
                if (_canaryAt <= next.ArrivedAt)
                {
                    (_canaryWaited, _canaryAt) = (_now - _canaryAt, double.MaxValue);
                }

                Decide(next, tally);
            }
            else
            {
                return;
            }
        }
    }

    private double HalfOfTheWork => _scenario.CpuMs / 2 * _scenario.CpuFactor(_now / 1_000);

    private void Decide(Job job, Tally tally)
    {
        job.EnteredAt = _now;
        if (!_door.Admit(job.Priority, _inside, _criticalInside))
        {
            _refusedInTick++;
            tally.Refused(_now);
            job.Stage = Stage.Refusal;
            Enqueue(job, _scenario.RefusalMs);
            Answered(job.Priority, job.Attempt, isGood: false);
            return;
        }

        _inside++;
        _criticalInside += job.Priority == Priority.Critical ? 1 : 0;
        Enqueue(job, HalfOfTheWork);
    }

    private void Answered(Priority priority, int attempt, bool isGood)
    {
        _throttle?.Report(isGood);
        if (!isGood && attempt < _scenario.Attempts)
        {
            _retries.Enqueue((priority, attempt + 1), _now + RetryMs);
        }
    }

    private void Enqueue(Job job, double work)
    {
        job.Finish = _virtual + work;
        _running.Enqueue(job, job.Finish);
    }

    private void OnCpuDone(Job job, Tally tally)
    {
        switch (job.Stage)
        {
            case Stage.First:
                job.Stage = Stage.Last;
                if (_scenario.Pool is { } size && _connections >= size)
                {
                    job.PooledAt = _now;
                    _pooled.Enqueue(job);
                }
                else
                {
                    _connections++;
                    StartIo(job);
                }

                break;
            case Stage.Last:
                _inside--;
                _criticalInside -= job.Priority == Priority.Critical ? 1 : 0;
                double rt = _now - job.ArrivedAt;
                _passed++;
                _rtSum += _now - job.EnteredAt;
                bool inTime = rt <= _scenario.DeadlineMs;
                _door.Done(rt, _inside, inTime);
                Answered(job.Priority, job.Attempt, inTime);
                if (inTime)
                {
                    tally.Succeeded(_now, job.ArrivedAt, job.Priority);
                }

                break;
        }
    }

    private void OnIoDone(Job job)
    {
        _connections--;
        if (_pooled.TryDequeue(out Job? next))
        {
            _pooledWait = Math.Max(_pooledWait, _now - next.PooledAt);
            _connections++;
            StartIo(next);
        }

        if (_scenario.Threads is null)
        {
            Enqueue(job, HalfOfTheWork);
        }
        else
        {
            _ahead.Enqueue(job);
        }
    }

    private void StartIo(Job job) => _waiting.Enqueue(job, _now + (_scenario.IoMs * _scenario.IoFactor(_now / 1_000)));

    private void Tick(double pausedMs, List<(double, bool, double, double, double, int, double, long, double, double)> ticks)
    {
        double cpu = Math.Min(1, _busyMs / (TickMs * _scenario.Cores));
        double wait = Math.Max(_pooledWait, _pooled.TryPeek(out Job? oldest) ? _now - oldest.PooledAt : 0);
        if (_scenario.Stolen > 0)
        {
            wait = Math.Max(wait, _running.Count * _scenario.CpuMs / 2 / (_scenario.Cores * _speed));
        }

        double doorWait = ReadCanary();
        wait = Math.Max(wait, doorWait);
        var sample = new SystemSample((long)_now, TickMs, cpu, 0, doorWait, pausedMs);
        _door.Tick(sample, wait, _passed, _rtSum, _refusedInTick);
        HybridLimit? hybrid = (_door as HybridDoor)?.Limit;
        ticks.Add((_now, hybrid?.IsHot ?? false, hybrid?.Cap ?? 0, hybrid?.MinRt ?? 0, hybrid?.MaxPass ?? 0, _inside, cpu, _refusedInTick, hybrid?.Pace ?? 0, doorWait));
        (_busyMs, _passed, _rtSum, _refusedInTick, _pooledWait) = (0, 0, 0, 0, 0);
    }

    /// <summary>What the sampler's item in the queue says: its age while it waits, then how long it had waited, and then the next is on its way.</summary>
    private double ReadCanary()
    {
        if (_canaryAt != double.MaxValue && _queue.Count > 0)
        {
            return _now - _canaryAt;
        }

        double waited = _canaryWaited;
        (_canaryWaited, _canaryAt) = (0, _queue.Count > 0 ? _now : double.MaxValue);
        return waited;
    }

    private enum Stage
    {
        First,
        Last,
        Refusal,
    }

    /// <summary>The clock of the simulation, for what reads one.</summary>
    private sealed class SimulatedTime(OverloadSimulation simulation) : TimeProvider
    {
        public override long TimestampFrequency => 1_000_000;

        public override long GetTimestamp() => (long)(simulation._now * 1_000);
    }

    private sealed class Job(Priority priority, double arrivedAt, int attempt)
    {
        public int Attempt => attempt;

        public Priority Priority => priority;

        public double ArrivedAt => arrivedAt;

        public Stage Stage { get; set; }

        /// <summary>When the door saw it.</summary>
        public double EnteredAt { get; set; }

        public double Finish { get; set; }

        public double PooledAt { get; set; }
    }

    private sealed class Tally(Scenario scenario)
    {
        private readonly double _from = scenario.MeasureFrom * 1_000;

        // Whoever arrives in the last second may still be under way when the simulation ends.
        private readonly double _to = Math.Min(scenario.MeasureTo, scenario.Seconds - (scenario.DeadlineMs / 1_000)) * 1_000;
        private long _arrived;
        private long _sent;
        private long _refused;
        private long _critical;
        private long _criticalDone;
        private long _done;

        public void Arrived(double now, Priority priority)
        {
            if (IsMeasured(now))
            {
                _arrived++;
                _critical += priority == Priority.Critical ? 1 : 0;
            }
        }

        public void Sent(double now) => _sent += IsMeasured(now) ? 1 : 0;

        public void Refused(double now) => _refused += IsMeasured(now) ? 1 : 0;

        public void Succeeded(double now, double arrivedAt, Priority priority)
        {
            _done += IsMeasured(now) ? 1 : 0;
            _criticalDone += priority == Priority.Critical && IsMeasured(arrivedAt) ? 1 : 0;
        }

        public Outcome Result(List<(double, bool, double, double, double, int, double, long, double, double)> ticks) => new(
            _done / (scenario.CapacityPerSecond * (_to - _from) / 1_000),
            _critical == 0 ? 1 : (double)_criticalDone / _critical,
            _arrived == 0 ? 0 : (double)_refused / _arrived,
            _refused,
            _arrived,
            _sent,
            ticks);

        private bool IsMeasured(double time) => time >= _from && time < _to;
    }
}
