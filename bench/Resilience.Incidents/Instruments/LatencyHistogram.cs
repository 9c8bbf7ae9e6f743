using System.Numerics;

namespace Resilience.Incidents.Instruments;

/// <summary>
/// Latencies in microseconds in log-linear buckets, the way an HDR histogram keeps them: 64 buckets for each power of two, so a
/// percentile is at most 1.6 % off. Adding is one interlocked increment; merging two is a sum.
/// </summary>
internal sealed class LatencyHistogram
{
    private const int SubBits = 6;
    private const int Sub = 1 << SubBits;
    private readonly int[] _counts = new int[Sub * 30]; // up to 2^35 µs, nearly ten hours
    private long _sum;

    public long Count => _counts.Sum(static count => (long)count);

    public double MeanMilliseconds => Count == 0 ? 0 : Interlocked.Read(ref _sum) / 1000.0 / Count;

    public void Add(TimeSpan latency)
    {
        long microseconds = Math.Max(0, (long)latency.TotalMicroseconds);
        Interlocked.Add(ref _sum, microseconds);
        Interlocked.Increment(ref _counts[Math.Min(Index(microseconds), _counts.Length - 1)]);
    }

    public void Merge(LatencyHistogram other)
    {
        _sum += Interlocked.Read(ref other._sum);
        for (int i = 0; i < _counts.Length; i++)
        {
            _counts[i] += Volatile.Read(ref other._counts[i]);
        }
    }

    /// <summary>The latency in milliseconds that a share of all stayed within; zero when there is none.</summary>
    public double Percentile(double share)
    {
        long wanted = (long)Math.Ceiling(Count * share);
        long seen = 0;
        for (int i = 0; i < _counts.Length && wanted > 0; i++)
        {
            seen += _counts[i];
            if (seen >= wanted)
            {
                return UpperBound(i) / 1000.0;
            }
        }

        return 0;
    }

    private static int Index(long value)
    {
        if (value < Sub)
        {
            return (int)value;
        }

        int shift = BitOperations.Log2((ulong)value) - SubBits;
        return ((shift + 1) * Sub) + (int)((value >> shift) - Sub);
    }

    private static long UpperBound(int index)
    {
        int shift = (index / Sub) - 1;
        return shift < 0 ? index : ((long)((index % Sub) + Sub + 1) << shift) - 1;
    }
}
