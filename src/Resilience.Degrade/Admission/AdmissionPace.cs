using System.Runtime.InteropServices;
using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>
/// How many may come in between two ticks while arrivals wait in front of the door. A bound on how many are inside does not help there: work that runs to its
/// end on the threads that there are is done before the next arrival is looked at, so all of the processor goes into work and none into refusals.
/// </summary>
/// <remarks>
/// Normal work may use all of a tick's budget, lesser work leaves some of it, and critical work may borrow from the next ticks. <see cref="Refill"/> is the
/// sampling thread's own, the rest is thread-safe.
/// </remarks>
internal sealed class AdmissionPace
{
    /// <summary>For how long critical work may borrow, in seconds at the full rate.</summary>
    private const double MostBorrowed = 1;

    private Floors _floors;
    private Left _left;
    private double _fraction;

    /// <summary>Whether it bounds anything.</summary>
    public bool IsOn => Volatile.Read(ref _floors.IsOn);

    /// <summary>Whether one more of a priority may come in while it is on.</summary>
    public bool Allows(Priority priority) => Volatile.Read(ref _left.Value) > priority switch
    {
        Priority.Critical => Volatile.Read(ref _floors.Critical),
        Priority.Normal => 0,
        Priority.Low => Volatile.Read(ref _floors.Low),
        _ => Volatile.Read(ref _floors.Bulk),
    };

    /// <summary>Takes one in. That several do so at once after having been allowed may overdraw the budget by as many, which the next one pays.</summary>
    public void Take() => Interlocked.Decrement(ref _left.Value);

    /// <summary>Gives the budget of the tick that begins.</summary>
    /// <param name="perSecond">The rate; infinite when nothing is to be bounded.</param>
    /// <param name="share">The share of it that holds for this tick.</param>
    /// <param name="elapsedMs">How long a tick is.</param>
    public void Refill(double perSecond, double share, double elapsedMs)
    {
        if (double.IsPositiveInfinity(perSecond))
        {
            Volatile.Write(ref _floors.IsOn, false);
            return;
        }

        double budget = perSecond * share * elapsedMs / 1000;
        _fraction += budget;
        long whole = (long)_fraction;
        _fraction -= whole;
        long seen = Volatile.Read(ref _left.Value);

        // What nobody used is not saved up for longer than a tick.
        long left = Math.Min((IsOn ? seen : 0) + whole, Math.Max(1, (long)Math.Ceiling(budget)));
        Interlocked.Add(ref _left.Value, left - seen);
        Volatile.Write(ref _floors.Critical, -(long)(MostBorrowed * perSecond) - 1);
        Volatile.Write(ref _floors.Low, (long)(budget * 0.25));
        Volatile.Write(ref _floors.Bulk, (long)(budget * 0.5));
        Volatile.Write(ref _floors.IsOn, true);
    }

    private struct Floors
    {
        public bool IsOn;
        public long Critical;
        public long Low;
        public long Bulk;
    }

    /// <summary>Written by whoever comes in while it is on, on cache lines of its own.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct Left
    {
        [FieldOffset(128)]
        public long Value;
    }
}
