using Resilience.Context;
namespace Resilience.Degrade;

/// <summary>
/// Decides how many requests may be inside at once. Found best of seven controllers in a discrete-event comparison: the only one that held goodput
/// and critical work at 2, 8 and 64 cores without refusing anything at 0.7 of the capacity.
/// </summary>
/// <remarks>
/// A ceiling always holds: the greater of 64 per core (fewer where work is known to be heavy) and half a second of the best throughput seen. While the process is hot (CPU, or a queue that
/// stays long, and no garbage collection to explain it) the cap is twice what Little's law asks for at the best throughput and the shortest response
/// time. That response time is nearly frozen: it may rise by 0.1 % a tick, which bounds the drift that limiters have which learn it under load,
/// and still follows a service that has become slower for good.
/// Four things were added to what was compared. Refusals at the ceiling or a queue seen twice, with busy processors, and refusals with a queue mean "hot" at once: the average
/// would need six ticks, in which the ceiling fills and refuses critical work like any other, and would never say so where neighbours take the processors. A relapse makes
/// the next calm last longer, because then it was the cap that kept things calm. And critical work has a lane of its own: it comes in while
/// the surplus that was admitted before is still being worked off, and is bounded all the same. And while arrivals wait for a thread in front of the door, the
/// rate of admissions is bounded besides, as far as it takes for that wait to be short: the comparison shared the processors between work and refusals,
/// but on a thread pool work runs to its end, and the refused grow older than anybody waits. That the wait decides is DAGOR's idea.
/// Pure maths; not thread-safe: the sampling thread's own.
/// </remarks>
internal sealed class HybridLimit(double cores)
{
    internal const double CeilingPerCore = 64;
    internal const double LeastCeilingPerCore = 24;
    internal const double CeilingSeconds = 0.5;
    internal const int SamplesPerCost = 20;
    internal const double CpuWeight = 0.3;
    internal const double PassDecayPerTick = 0.999;
    internal const double RtGrowthPerTick = 1.001;
    internal const int WindowTicks = 10;
    internal const double MinHotQueueMs = 400;
    internal const double StandingQueueMs = 90;
    internal const double HotQueuePerRt = 12;
    internal const int ColdTicks = 10;
    internal const int MostColdTicks = 160;
    internal const int RelapseTicks = 20;
    internal const int SurplusTicks = 10;
    internal const double LaneSlack = 3;
    internal const long GcShadowMs = 1_000;
    internal const int SamplesPerRt = 10;
    internal const double DoorWaitMs = 100;
    internal const double FirstPace = 0.85;
    internal const double LeastFirstPace = 0.85;
    internal const double PaceCut = 0.97;
    internal const double PaceRise = 1.015;
    internal const double QuickPaceRise = 1.05;
    internal const double IdlePaceRise = 1.1;
    internal const double LeastCut = 0.8;
    internal const double LeastPace = 0.1;
    internal const double MostPace = 1.5;
    internal const double PaceDamping = 0.25;
    internal const double LeastPaceShare = 0.3;

    private readonly double[] _passes = new double[WindowTicks];
    private readonly double[] _ticks = new double[WindowTicks];
    private readonly double[] _works = new double[WindowTicks];
    private double _cores = cores;
    private int _at;
    private double _cpu;
    private double _rtSum;
    private long _rtCount;
    private double _lastPass;
    private double _lastDoorWait;
    private long _gcUntil = long.MinValue;
    private long _queuedSince = long.MinValue;
    private int _calmTicks;
    private int _hotTicks;
    private int _coldTicks = ColdTicks; // how many calm ticks it takes to be cold
    private int _sinceCold = int.MaxValue; // ticks since it became cold; the greatest there is before it first was hot

    /// <summary>Whether the cap holds.</summary>
    public bool IsHot { get; private set; }

    /// <summary>The best throughput of one second, per second, slowly forgotten.</summary>
    public double MaxPass { get; private set; }

    /// <summary>The shortest mean response time, in milliseconds; 0 until it is known.</summary>
    public double MinRt { get; private set; }

    /// <summary>How many may come in per second while arrivals wait in front of the door; infinite while they do not.</summary>
    public double Pace { get; private set; } = double.PositiveInfinity;

    /// <summary>The share of <see cref="Pace"/> that holds for the next tick: less while what waits already is worked off.</summary>
    public double PaceShare { get; private set; } = 1;

    /// <summary>The CPU average.</summary>
    public double CpuAverage => _cpu;

    /// <summary>The least processor time that one piece of work was seen to take, in milliseconds; 0 until it is known.</summary>
    public double MinCost { get; private set; }

    /// <summary>The bound that always holds.</summary>
    /// <remarks>
    /// No more than can be worked off in half a second, where that is known: 64 pages of 20 ms are more than a second of a core, and who comes after them waits behind all of it.
    /// Never below 24 per core, because a background job's processor time passes for that of the work.
    /// </remarks>
    public double Ceiling => Math.Max(MaxPass * CeilingSeconds, MinCost == 0 ? MostCeiling : Math.Clamp(CeilingSeconds * 1000 * _cores / Math.Min(MinCost, MinRt), LeastCeilingPerCore * _cores, MostCeiling));

    private double MostCeiling => CeilingPerCore * _cores;

    /// <summary>The bound that holds while hot.</summary>
    public double Cap => Math.Max((2 * _cores) + 2, 2 * MaxPass * MinRt / 1000);

    /// <summary>How many pieces of critical work are let in however many others are inside.</summary>
    /// <remarks>
    /// The cap and three times its root: arrivals come in bunches, and where the cap is small a lane of just that width would refuse one in seven.
    /// Wider until the surplus from before the process was known to be hot is worked off: then each takes longer, so more are inside for the same rate.
    /// </remarks>
    public int CriticalLane => (int)(IsHot && _hotTicks >= SurplusTicks ? Math.Min(Cap + (LaneSlack * Math.Sqrt(Cap)), Ceiling) : Math.Max(MostCeiling, Ceiling) / 2);

    /// <summary>How many may be inside when a request of a priority arrives.</summary>
    public int For(Priority priority) => (int)(IsHot ? Math.Min(Ceiling, Math.Max(1, Cap * Share(priority))) : Ceiling);

    /// <summary>The share of the cap up to which a priority is admitted: the less it matters, the more room it leaves to others.</summary>
    public static double Share(Priority priority) => priority switch
    {
        Priority.Critical => 1.25,
        Priority.Normal => 1.0,
        Priority.Low => 0.75,
        _ => 0.5,
    };

    /// <summary>Takes one tick.</summary>
    /// <param name="sample">The process over the tick.</param>
    /// <param name="queueWaitMs">The longest wait in a queue over the tick, the thread pool's included.</param>
    /// <param name="passed">How many requests succeeded in the tick.</param>
    /// <param name="rtSumMs">The sum of their response times.</param>
    /// <param name="refused">How many were refused in the tick because too many were inside.</param>
    /// <param name="settings">The thresholds.</param>
    /// <param name="availableCores">How many cores there are.</param>
    public void Tick(in SystemSample sample, double queueWaitMs, long passed, double rtSumMs, long refused, AdmissionSettings settings, double availableCores)
    {
        _cores = availableCores;
        if (sample.GcPauseMs > sample.ElapsedMs * 0.1)
        {
            _gcUntil = sample.NowMs + GcShadowMs;
        }

        LearnThroughput(passed, sample);
        LearnResponseTime(passed, rtSumMs);
        Decide(sample, queueWaitMs, refused, settings);
        SetPace(sample, settings);
    }

    private void LearnThroughput(long passed, in SystemSample sample)
    {
        _passes[_at] = passed;
        _ticks[_at] = sample.ElapsedMs;
        _works[_at] = sample.Cpu * sample.ElapsedMs * _cores;
        _at = (_at + 1) % WindowTicks;
        double sum = 0;
        double span = 0;
        double work = 0;
        for (int i = 0; i < WindowTicks; i++)
        {
            sum += _passes[i];
            span += _ticks[i];
            work += _works[i];
        }

        // A window that has only begun would turn the first few requests into a high rate.
        double perSecond = sum * 1000 / Math.Max(span, 1000);
        MaxPass = Math.Max(MaxPass * PassDecayPerTick, perSecond);
        _lastPass = perSecond;

        // While it is hot refusals take processor time as well. It grows by what is seen alone: after a quiet night work is as light as before.
        if (sum >= SamplesPerCost && !IsHot)
        {
            double cost = Math.Max(work / sum, 0.001);
            MinCost = MinCost == 0 ? cost : Math.Min(MinCost * RtGrowthPerTick, cost);
        }
    }

    private void LearnResponseTime(long passed, double rtSumMs)
    {
        MinRt *= RtGrowthPerTick;
        _rtSum += rtSumMs;
        _rtCount += passed;
        if (_rtCount >= SamplesPerRt)
        {
            double mean = _rtSum / _rtCount;
            MinRt = MinRt == 0 ? mean : Math.Min(MinRt, mean);
            (_rtSum, _rtCount) = (0, 0);
        }
    }

    private void Decide(in SystemSample sample, double queueWaitMs, long refused, AdmissionSettings settings)
    {
        bool collecting = sample.NowMs < _gcUntil;
        if (!collecting)
        {
            // A collection's own threads would look like load.
            _cpu += CpuWeight * (sample.Cpu - _cpu);
        }

        bool queued = queueWaitMs > Math.Max(settings.HotQueueWait.TotalMilliseconds, MinRt);
        _queuedSince = !queued ? long.MinValue : _queuedSince == long.MinValue ? sample.NowMs : _queuedSince;
        bool queuedLong = queued && sample.NowMs - _queuedSince >= Math.Max(MinHotQueueMs, HotQueuePerRt * MinRt);
        bool full = !IsHot && refused > 0;
        bool stands = queued && sample.NowMs - _queuedSince >= StandingQueueMs; // seen twice
        if ((full || stands) && sample.Cpu > settings.HotCpu)
        {
            _cpu = Math.Max(_cpu, sample.Cpu);
        }

        // Where neighbours take the processors the average never says so: a door that is full in front of a queue does.
        bool pressed = _cpu > settings.HotCpu || queuedLong || (full && queued);
        if (pressed && !collecting)
        {
            Heat();
        }
        else if (IsHot)
        {
            // Where the rate is bounded and still refuses, it is the bound that keeps the processors calm.
            bool isCalm = !pressed && _cpu < settings.ColdCpu && (refused == 0 || double.IsPositiveInfinity(Pace));
            _calmTicks = isCalm ? _calmTicks + 1 : 0;
            IsHot = _calmTicks < _coldTicks;
            _sinceCold = 0;
        }
        else if (_sinceCold < int.MaxValue)
        {
            _sinceCold++;
        }
    }

    private void SetPace(in SystemSample sample, AdmissionSettings settings)
    {
        if (!IsHot)
        {
            Pace = double.PositiveInfinity;
            return;
        }

        // The rate is what integrates; the share damps it, for the queue itself integrates what comes in too much.
        double wait = sample.QueueWaitMs;
        double target = Math.Max(DoorWaitMs, settings.HotQueueWait.TotalMilliseconds);
        bool grows = wait > target && wait >= _lastDoorWait && sample.NowMs >= _gcUntil;

        // Work of some length makes the door wait whatever the rate: that it is short, or gets no longer, is enough to try more.
        bool isEasy = wait < target / 2 || (wait < target && wait <= _lastDoorWait);
        _lastDoorWait = wait;
        PaceShare = Math.Clamp(1 + (PaceDamping * (1 - (wait / target))), LeastPaceShare, 1);
        if (double.IsPositiveInfinity(Pace))
        {
            // The last second may be that of a calm before the storm, and says then what was asked for, not what can be done.
            Pace = grows ? Math.Max(LeastFirstPace * MaxPass, FirstPace * _lastPass) : Pace;
            return;
        }

        double factor = grows ? PaceCut
            : wait < target / 4 ? (sample.Cpu < settings.ColdCpu ? IdlePaceRise : QuickPaceRise)
            : isEasy ? PaceRise
            : 1;

        // What was let in before the overload was known makes the door wait whatever the rate; what is being done all the while can be done.
        double least = Math.Max(LeastPace * MaxPass, grows ? LeastCut * _lastPass : 0);
        Pace = Math.Max(Pace * factor, Math.Min(Pace, least));
        if (Pace > MostPace * MaxPass)
        {
            Pace = double.PositiveInfinity;
        }
    }

    /// <summary>Hot again so soon after it was cold means that the calm was the cap's own doing: the next calm must last twice as long, up to 16 s.</summary>
    private void Heat()
    {
        if (!IsHot)
        {
            _coldTicks = _sinceCold <= RelapseTicks ? Math.Min(2 * _coldTicks, MostColdTicks) : ColdTicks;
        }

        _hotTicks = IsHot ? _hotTicks + 1 : 0;
        IsHot = true;
        _calmTicks = 0;
    }
}
