using System.Buffers.Binary;
using System.IO.Compression;
using System.Runtime.InteropServices;

namespace Resilience.Benchmarks.HitRatio;

/// <summary>The keys of successive reads, numbered from 0.</summary>
/// <param name="Name">What it is called in the rows.</param>
/// <param name="Keys">The keys.</param>
/// <param name="Capacities">The sizes of cache to try.</param>
/// <param name="Judged">Reads of keys from here on are made but not counted.</param>
internal sealed record Trace(string Name, int[] Keys, int[] Capacities, int Judged = int.MaxValue)
{
    private const int ZipfKeys = 1_000_000;
    private const int ZipfReads = 2_000_000;

    /// <summary>Reads a gzip stream of little-endian 32-bit integers, whatever they are, and numbers them from 0 in order of first appearance.</summary>
    /// <exception cref="InvalidDataException">It is no such stream.</exception>
    public static Trace Read(string path, params int[] capacities)
    {
        using var gzip = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        var bytes = new MemoryStream();
        try
        {
            gzip.CopyTo(bytes);
        }
        catch (InvalidDataException exception)
        {
            throw new InvalidDataException($"{path} is not a gzip stream: {exception.Message}", exception);
        }

        if (bytes.Length == 0 || bytes.Length % sizeof(int) != 0)
        {
            throw new InvalidDataException($"{path} holds {bytes.Length} bytes, which are no 32-bit keys.");
        }

        var numbers = new Dictionary<int, int>();
        int[] keys = new int[bytes.Length / sizeof(int)];
        for (int i = 0; i < keys.Length; i++)
        {
            int key = BinaryPrimitives.ReadInt32LittleEndian(bytes.GetBuffer().AsSpan(i * sizeof(int)));
            ref int number = ref CollectionsMarshal.GetValueRefOrAddDefault(numbers, key, out bool isKnown);
            keys[i] = number = isKnown ? number : numbers.Count - 1;
        }

        return new Trace(Path.GetFileName(path).Split('.')[0], keys, capacities);
    }

    /// <summary>Reads of keys by Zipf's law, exponent 0.99.</summary>
    public static Trace Zipf(int capacity)
    {
        var random = new Random(42);
        double[] cumulated = new double[ZipfKeys];
        double sum = 0;
        for (int i = 0; i < ZipfKeys; i++)
        {
            cumulated[i] = sum += 1 / Math.Pow(i + 1, 0.99);
        }

        int[] keys = new int[ZipfReads];
        for (int i = 0; i < keys.Length; i++)
        {
            int at = Array.BinarySearch(cumulated, random.NextDouble() * sum);
            keys[i] = Math.Min(at < 0 ? ~at : at, ZipfKeys - 1);
        }

        return new Trace("zipf-0.99", keys, [capacity]);
    }

    /// <summary>The same reads with those of a scan spread evenly among them, each key of it read once. Only the Zipf reads are judged.</summary>
    public static Trace ZipfWithScan(int capacity)
    {
        int[] zipf = Zipf(capacity).Keys;
        int[] mixed = new int[zipf.Length + (zipf.Length / 25)];
        for (int i = 0, next = 0, scanned = 0; i < mixed.Length; i++)
        {
            mixed[i] = i % 26 == 25 ? ZipfKeys + scanned++ : zipf[next++];
        }

        return new Trace("zipf-0.99+scan", mixed, [capacity], ZipfKeys);
    }
}
