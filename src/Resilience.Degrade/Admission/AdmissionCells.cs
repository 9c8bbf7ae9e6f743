using Resilience.Context;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Resilience.Degrade;

/// <summary>Counters that many threads add to and few read, spread over cache lines by processor so that adding does not contend.</summary>
internal sealed class AdmissionCells
{
    /// <summary>Successes and the sum of their milliseconds share one word, so that both take one instruction: 24 bits count, 39 bits sum.</summary>
    private const int CountBits = 24;

    private const int Priorities = 4;

    /// <summary>The lane of those that a dry run let in: they teach like the others and were counted as refused when they came.</summary>
    private const int Spared = Priorities;

    private readonly Lock _gathering = new(); // guards _done, _passed and _passedMs, and the emptying of the cells
    private readonly long[] _done = new long[Priorities];
    private readonly Cell[] _cells;
    private readonly int _mask;
    private long _passed;
    private long _passedMs;

    public AdmissionCells()
    {
        int size = (int)Math.Min(64, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount));
        _cells = new Cell[size];
        _mask = size - 1;
    }

    /// <summary>How many were refused because too many were inside, since the start.</summary>
    public long RefusedByLoad
    {
        get
        {
            long total = 0;
            for (int priority = 0; priority < Priorities; priority++)
            {
                total += Total((Priority)priority, AdmissionResult.RefusedByLoad);
            }

            return total;
        }
    }

    /// <summary>The cell of the processor that the caller runs on. It may run on another one the moment after, which costs time and no truth.</summary>
    public ref Cell Own => ref _cells[Thread.GetCurrentProcessorId() & _mask];

    /// <summary>Takes out what has passed since the last call.</summary>
    public (long Count, double SumMs) Drain()
    {
        lock (_gathering)
        {
            GatherUnderLock();
            (long count, long sum) = (_passed, _passedMs);
            (_passed, _passedMs) = (0, 0);
            return (count, sum);
        }
    }

    /// <summary>How many there were since the start; of the admitted, how many have left.</summary>
    public long Total(Priority priority, AdmissionResult result)
    {
        long total = 0;
        if (result == AdmissionResult.Admitted)
        {
            lock (_gathering)
            {
                GatherUnderLock();
                total = _done[(int)priority & 3];
            }
        }

        foreach (ref Cell cell in _cells.AsSpan())
        {
            total += result == AdmissionResult.Admitted ? Volatile.Read(ref cell.Ignored[(int)priority & 3]) : Volatile.Read(ref cell.Refused[Index(priority, result)]);
        }

        return total;
    }

    private static int Index(Priority priority, AdmissionResult result) => (((int)result - 1) * Priorities) + ((int)priority & 3);

    private void GatherUnderLock()
    {
        foreach (ref Cell cell in _cells.AsSpan())
        {
            for (int lane = 0; lane <= Spared; lane++)
            {
                if (Volatile.Read(ref cell.Passed[lane]) == 0)
                {
                    continue;
                }

                long packed = Interlocked.Exchange(ref cell.Passed[lane], 0);
                long count = packed & ((1L << CountBits) - 1);
                _passed += count;
                _passedMs += packed >> CountBits;
                if (lane != Spared)
                {
                    _done[lane] += count;
                }
            }
        }
    }

    [InlineArray(Priorities + 1)]
    internal struct PassedLanes
    {
        private long _first;
    }

    [InlineArray(Priorities)]
    internal struct IgnoredCounts
    {
        private long _first;
    }

    [InlineArray(2 * Priorities)]
    internal struct RefusedCounts
    {
        private long _first;
    }

    [StructLayout(LayoutKind.Sequential, Size = 256)]
    internal struct Cell
    {
        internal PassedLanes Passed;
        internal IgnoredCounts Ignored;
        internal RefusedCounts Refused;

        public void Pass(in AdmissionTicket ticket, long milliseconds) =>
            Interlocked.Add(ref Passed[ticket.IsSpared ? Spared : (int)ticket.Priority & 3], (Math.Clamp(milliseconds, 0, 1L << 20) << CountBits) | 1);

        public void Ignore(in AdmissionTicket ticket)
        {
            if (!ticket.IsSpared)
            {
                Interlocked.Increment(ref Ignored[(int)ticket.Priority & 3]);
            }
        }

        public void Refuse(Priority priority, AdmissionResult result) => Interlocked.Increment(ref Refused[Index(priority, result)]);
    }
}
