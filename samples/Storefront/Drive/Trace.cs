using System.Buffers.Binary;
using System.IO.Compression;

namespace Storefront.Drive;

/// <summary>The keys of successive reads.</summary>
internal static class Trace
{
    private const int ZipfKeys = 100_000;
    private const double ZipfExponent = 0.99;
    private const int ZipfReads = 100_000;

    /// <summary>Reads a gzip stream of little-endian 32-bit integers.</summary>
    public static async Task<int[]> ReadAsync(string path)
    {
        await using FileStream file = File.OpenRead(path);
        await using var gzip = new GZipStream(file, CompressionMode.Decompress);
        using var memory = new MemoryStream();
        await gzip.CopyToAsync(memory);
        byte[] bytes = memory.ToArray();
        if (bytes.Length == 0 || bytes.Length % sizeof(int) != 0)
        {
            throw new InvalidDataException($"{path} is not a trace: {bytes.Length} bytes are not a positive multiple of four.");
        }

        int[] keys = new int[bytes.Length / sizeof(int)];
        for (int i = 0; i < keys.Length; i++)
        {
            keys[i] = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(i * sizeof(int)));
        }

        return keys;
    }

    /// <summary>Reads with the popularity of a real shop: the n-th most wanted key is asked for in proportion to 1/n^0.99.</summary>
    public static int[] Zipf(int reads = ZipfReads, int keys = ZipfKeys, int seed = 1)
    {
        double[] cumulative = new double[keys];
        double sum = 0;
        for (int i = 0; i < keys; i++)
        {
            cumulative[i] = sum += 1 / Math.Pow(i + 1, ZipfExponent);
        }

        var random = new Random(seed);
        int[] trace = new int[reads];
        for (int i = 0; i < reads; i++)
        {
            int rank = Array.BinarySearch(cumulative, random.NextDouble() * sum);
            trace[i] = Math.Min(rank < 0 ? ~rank : rank, keys - 1);
        }

        return trace;
    }
}
