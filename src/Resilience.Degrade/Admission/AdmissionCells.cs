using Resilience.Context;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Resilience.Degrade;

/// <summary>Counters that many threads add to and one thread drains, spread over cache lines by processor so that adding does not contend.</summary>
internal sealed class AdmissionCells
{
    /// <summary>Successes and the sum of their milliseconds share one word, so that both take one instruction: 20 bits count, 43 bits sum.</summary>
    private const int CountBits = 20;

    private readonly Cell[] _cells;
    private readonly int _mask;

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
            for (int priority = 0; priority < 4; priority++)
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
        long count = 0;
        long sum = 0;
        foreach (ref Cell cell in _cells.AsSpan())
        {
            long packed = Interlocked.Exchange(ref cell.Passed, 0);
            count += packed & ((1L << CountBits) - 1);
            sum += packed >> CountBits;
        }

        return (count, sum);
    }

    /// <summary>How many there were since the start.</summary>
    public long Total(Priority priority, AdmissionResult result)
    {
        long total = 0;
        foreach (ref Cell cell in _cells.AsSpan())
        {
            total += Volatile.Read(ref cell.Counters[Index(priority, result)]);
        }

        return total;
    }

    private static int Index(Priority priority, AdmissionResult result) => ((int)result * 4) + ((int)priority & 3);

    [InlineArray(12)]
    internal struct Counters
    {
        private long _first;
    }

    [StructLayout(LayoutKind.Sequential, Size = 256)]
    internal struct Cell
    {
        internal long Passed;
        internal Counters Counters;

        /// <summary>How many were inside when this processor last looked: a hint, written without care.</summary>
        internal int SeenInside;

        public void Pass(long milliseconds) => Interlocked.Add(ref Passed, (Math.Clamp(milliseconds, 0, 1L << 22) << CountBits) | 1);

        public void Count(Priority priority, AdmissionResult result) => Interlocked.Increment(ref Counters[Index(priority, result)]);
    }
}
