using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>
/// Decides at the door, within nanoseconds and without allocating, whether a piece of work comes in: by its priority, by how many are inside, and by
/// what presses. The bounds come from the Hybrid controller (see DESIGN.md) and are set anew after each sample.
/// </summary>
/// <remarks>Thread-safe. One per container, a singleton.</remarks>
public sealed class AdmissionController : ITickListener
{
    private const int Nobody = int.MaxValue;

    /// <summary>The lower half of the word counts all that are inside, the upper half the critical ones among them: one instruction changes both.</summary>
    private const int CriticalShift = 32;

    private readonly AdmissionCells _cells = new();
    private readonly CoarseClock _clock;
    private readonly HybridLimit _hybrid;
    private readonly AdmissionPace _pace = new();
    private readonly Func<double> _cores;
    private readonly LiveSettings<DegradeSettings> _live;
    private Limits _limits;
    private PaddedCounter _inside;
    private GatheredSample _gathered;
    private long _longestWaitMs;
    private long _refusedBefore;

    internal AdmissionController(LiveSettings<DegradeSettings> settings, TimeProvider time, Func<double> cores, DegradeMetrics metrics)
    {
        _live = settings;
        _clock = new CoarseClock(time);
        _cores = cores;
        _hybrid = new HybridLimit(cores());
        Publish(PressureLevel.Normal, 0, settings.Current.Admission);
        metrics.ObserveAdmission(this);
    }

    /// <summary>How many are inside.</summary>
    public int Inside => (int)Volatile.Read(ref _inside.Value);

    /// <summary>Whether the process is taken to be overloaded at the moment.</summary>
    public bool IsHot { get; private set; }

    /// <summary>The best throughput seen, per second.</summary>
    internal double MaxPass => _hybrid.MaxPass;

    /// <summary>How many may be inside when work of a priority arrives; 0 while it is refused altogether.</summary>
    /// <param name="priority">The priority.</param>
    public int LimitOf(Priority priority) => (int)priority >= Volatile.Read(ref _limits.RefusedFrom) ? 0 : Volatile.Read(ref Limit(priority));

    /// <summary>How many have come and been answered so since the start. Those that were admitted are counted when they leave.</summary>
    /// <param name="priority">The priority.</param>
    /// <param name="result">The answer.</param>
    public long Count(Priority priority, AdmissionResult result) => _cells.Total(priority, result);

    /// <summary>Asks for admission.</summary>
    /// <param name="priority">How much the work matters.</param>
    /// <param name="ticket">To be handed back with <see cref="Leave"/> when the result is <see cref="AdmissionResult.Admitted"/>.</param>
    public AdmissionResult TryEnter(Priority priority, out AdmissionTicket ticket)
    {
        bool isPaced = _pace.IsOn;
        AdmissionResult result = (int)priority >= Volatile.Read(ref _limits.RefusedFrom) ? AdmissionResult.RefusedByPressure
            : (!isPaced || _pace.Allows(priority)) && TryTakePlace(priority) ? AdmissionResult.Admitted
            : AdmissionResult.RefusedByLoad;
        bool isSpared = false;
        if (result != AdmissionResult.Admitted)
        {
            _cells.Own.Refuse(priority, result);
            if (!Volatile.Read(ref _limits.IsDry))
            {
                ticket = default;
                return result;
            }

            Interlocked.Add(ref _inside.Value, Place(priority));
            isSpared = true;
        }

        if (isPaced)
        {
            _pace.Take();
        }

        ticket = new AdmissionTicket(_clock.Milliseconds, priority, isSpared);
        return AdmissionResult.Admitted;
    }

    /// <summary>Hands a ticket back. A second time for the same ticket would free somebody else's place.</summary>
    /// <param name="ticket">The ticket; one that was never given, <see langword="default"/>, is passed over.</param>
    /// <param name="outcome">How the work ended.</param>
    public void Leave(in AdmissionTicket ticket, AdmissionOutcome outcome)
    {
        if (!ticket.IsCounted)
        {
            return;
        }

        Interlocked.Add(ref _inside.Value, -Place(ticket.Priority));
        if (outcome == AdmissionOutcome.Success)
        {
            _cells.Own.Pass(ticket, _clock.Milliseconds - ticket.EnteredAt);
        }
        else
        {
            _cells.Own.Ignore(ticket);
        }
    }

    /// <summary>
    /// Tells how long something waited in a queue that admission should keep short, such as the queue for a pool. The longest wait since the last
    /// sample counts.
    /// </summary>
    /// <param name="wait">How long; the age of the oldest waiter if it still waits.</param>
    public void ReportQueueWait(TimeSpan wait)
    {
        long milliseconds = (long)wait.TotalMilliseconds;
        long seen = Volatile.Read(ref _longestWaitMs);
        while (milliseconds > seen)
        {
            long before = Interlocked.CompareExchange(ref _longestWaitMs, milliseconds, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    private static long Place(Priority priority) => priority == Priority.Critical ? (1L << CriticalShift) + 1 : 1;

    private bool TryTakePlace(Priority priority)
    {
        // Looked at before it is written: the refused, of whom there are most when it is full, only share a cache line that is read.
        int limit = Volatile.Read(ref Limit(priority));
        long place = Place(priority);
        if (!HasRoom(priority, Volatile.Read(ref _inside.Value) + place, limit))
        {
            return false;
        }

        if (HasRoom(priority, Interlocked.Add(ref _inside.Value, place), limit))
        {
            return true;
        }

        Interlocked.Add(ref _inside.Value, -place);
        return false;
    }

    /// <summary>Whether the last to come may stay. Critical work has a lane besides: it comes in as long as there is little of it, however many others there are.</summary>
    private bool HasRoom(Priority priority, long inside, int limit) =>
        (int)inside <= limit || (priority == Priority.Critical && (int)(inside >> CriticalShift) <= Volatile.Read(ref _limits.CriticalLane));

    void ITickListener.Tick(in SystemSample sample, PressureLevel refusal, double memory)
    {
        AdmissionSettings settings = _live.Current.Admission;
        if (_gathered.Add(sample) is { } whole)
        {
            (long passed, double rtSum) = _cells.Drain();
            double wait = Math.Max(whole.QueueWaitMs, Interlocked.Exchange(ref _longestWaitMs, 0));
            long refused = _cells.RefusedByLoad;
            _hybrid.Tick(whole, wait, passed, rtSum, refused - _refusedBefore, settings, _cores());
            _refusedBefore = refused;
            _pace.Refill(settings.Enabled ? _hybrid.Pace : double.PositiveInfinity, _hybrid.PaceShare, whole.ElapsedMs);
        }

        Publish(refusal, memory, settings);
    }

    /// <summary>The share of the bounds that holds when memory is scarce: 1 up to 0.80, falling to a tenth at 0.935.</summary>
    internal static double MemoryFactor(double memory) => Math.Clamp((0.95 - memory) / 0.15, 0.1, 1);

    private void Publish(PressureLevel refusal, double memory, AdmissionSettings settings)
    {
        IsHot = _hybrid.IsHot;
        double factor = refusal > PressureLevel.Normal ? MemoryFactor(memory) : 1;
        bool enabled = settings.Enabled;
        foreach (Priority priority in Priorities)
        {
            int limit = enabled ? Math.Max(1, (int)(_hybrid.For(priority) * (priority == Priority.Critical ? 1 : factor))) : int.MaxValue - 1_000_000;
            Volatile.Write(ref Limit(priority), limit);
        }

        Volatile.Write(ref _limits.CriticalLane, enabled ? _hybrid.CriticalLane : Nobody);
        Volatile.Write(ref _limits.IsDry, settings.DryRun);
        Volatile.Write(ref _limits.RefusedFrom, !enabled ? Nobody : refusal switch
        {
            PressureLevel.Normal => Nobody,
            PressureLevel.Elevated => (int)Priority.Low,
            _ => (int)Priority.Normal,
        });
    }

    private static ReadOnlySpan<Priority> Priorities => [Priority.Critical, Priority.Normal, Priority.Low, Priority.Bulk];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref int Limit(Priority priority)
    {
        switch (priority)
        {
            case Priority.Critical:
                return ref _limits.Critical;
            case Priority.Normal:
                return ref _limits.Normal;
            case Priority.Low:
                return ref _limits.Low;
            default:
                return ref _limits.Bulk;
        }
    }

    /// <summary>
    /// Puts samples together until they span a tick of the controller, whose constants are for 100 ms: a shorter interval of sampling must not make its
    /// windows shorter. Only the sampling thread's own.
    /// </summary>
    [StructLayout(LayoutKind.Auto)]
    private struct GatheredSample
    {
        /// <summary>A little less than 100 ms, because sleeping is not exact.</summary>
        private const double TickMs = 90;

        private double _elapsed;
        private double _cpu;
        private double _wait;
        private double _pause;

        public SystemSample? Add(in SystemSample sample)
        {
            _elapsed += sample.ElapsedMs;
            _cpu += sample.Cpu * sample.ElapsedMs;
            _wait = Math.Max(_wait, sample.QueueWaitMs);
            _pause += sample.GcPauseMs;
            if (_elapsed < TickMs)
            {
                return null;
            }

            SystemSample whole = sample with { ElapsedMs = _elapsed, Cpu = _cpu / _elapsed, QueueWaitMs = _wait, GcPauseMs = _pause };
            this = default;
            return whole;
        }
    }

    /// <summary>What the door looks at; written by the sampling thread only. That its fields change one after the other harms nobody.</summary>
    private struct Limits
    {
        public int Critical;
        public int Normal;
        public int Low;
        public int Bulk;
        public int CriticalLane;
        public int RefusedFrom;
        public bool IsDry;
    }

    /// <summary>The one word that every request writes, on cache lines of its own.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct PaddedCounter
    {
        [FieldOffset(128)]
        public long Value;
    }
}
