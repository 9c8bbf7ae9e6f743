namespace Resilience.Benchmarks.Harness;

/// <summary>Where a loop leaves its result once a batch, so that the compiler cannot do away with the work.</summary>
internal static class Sink
{
    private static object? s_object;
    private static long s_number;

    public static void Keep(object? value) => Volatile.Write(ref s_object, value);

    public static void Keep(long value) => Volatile.Write(ref s_number, value);
}
