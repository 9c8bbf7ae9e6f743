using Resilience.Context;

namespace Resilience.Degrade.Tests.Simulation;

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
    private double _nextArrival;
    private double _nextTick = TickMs;
    private double _nextPause;
    private double _burst;
    private double _pausedInTick;
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
        _nextPause = scenario.GcPause?.Every * 1_000 ?? double.MaxValue;
        _burst = scenario.Burst?.At * 1_000 ?? double.MaxValue;
    }

    public static Outcome Run(Scenario scenario, IDoor? door = null) => new OverloadSimulation(scenario, door ?? new HybridDoor(scenario.Cores)).Run();

    private Outcome Run()
    {
        double end = _scenario.Seconds * 1_000;
        _nextArrival = NextArrival(0);
        var tally = new Tally(_scenario);
        var ticks = new List<SimulatedTick>();
        while (true)
        {
            double cpuDone = _running.Count == 0 ? double.MaxValue : Math.Max(_now, _pausedUntil) + ((_running.Peek().Finish - _virtual) * Math.Max(1, (double)_running.Count / _scenario.Cores) / _speed);
            double ioDone = _waiting.TryPeek(out _, out double io) ? io : double.MaxValue;
            double retry = _retries.TryPeek(out _, out double again) ? again : double.MaxValue;
            double next = Math.Min(Math.Min(Math.Min(_nextArrival, _nextTick), Math.Min(cpuDone, ioDone)), Math.Min(Math.Min(_nextPause, _burst), retry));
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
            else
            {
                OnSchedule(next, tally, ticks);
            }
        }
    }

    private void OnSchedule(double next, Tally tally, List<SimulatedTick> ticks)
    {
        if (next == _nextArrival)
        {
            if (_scenario.Load(_now / 1_000) > 0)
            {
                Arrive(tally);
            }

            _nextArrival = NextArrival(_now);
        }
        else if (next == _burst)
        {
            _burst = double.MaxValue;
            for (int i = 0; i < _scenario.Burst!.Value.Count; i++)
            {
                Arrive(tally);
            }
        }
        else if (next == _nextPause)
        {
            _pausedUntil = _now + _scenario.GcPause!.Value.Ms;
            _pausedInTick += _scenario.GcPause.Value.Ms;
            _nextPause = _now + (_scenario.GcPause.Value.Every * 1_000);
        }
        else
        {
            _nextTick += TickMs;
            double paused = Math.Min(_pausedInTick, TickMs);
            _pausedInTick -= paused;
            Tick(paused, ticks);
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

    private void Tick(double pausedMs, List<SimulatedTick> ticks)
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
        ticks.Add(new SimulatedTick(_now, hybrid?.IsHot ?? false, hybrid?.Cap ?? 0, hybrid?.MinRt ?? 0, hybrid?.MaxPass ?? 0, _inside, cpu, _refusedInTick, hybrid?.Pace ?? 0, doorWait));
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
}
