namespace Resilience.Incidents.Instruments;

/// <summary>Draws ranks by Zipf's law, the way a shop's products are asked for. The draws depend on the seed and the index alone, so both sides see the same.</summary>
internal sealed class Zipf
{
    private readonly double[] _cumulative;
    private readonly ulong _seed;

    public Zipf(int count, double exponent, int seed)
    {
        _cumulative = new double[count];
        _seed = (ulong)seed;
        double sum = 0;
        for (int i = 0; i < count; i++)
        {
            sum += 1 / Math.Pow(i + 1, exponent);
            _cumulative[i] = sum;
        }
    }

    public int Draw(int index)
    {
        int found = Array.BinarySearch(_cumulative, Dice.Share(_seed, index) * _cumulative[^1]);
        return Math.Min(found < 0 ? ~found : found, _cumulative.Length - 1);
    }
}

/// <summary>Random numbers by index: the same seed and index give the same number on whatever thread and in whatever order.</summary>
internal static class Dice
{
    /// <summary>A number from 0 up to 1, by SplitMix64.</summary>
    public static double Share(ulong seed, int index)
    {
        ulong z = (seed * 0x9E3779B97F4A7C15UL) + (((ulong)index + 1) * 0xD1B54A32D192ED03UL);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}
