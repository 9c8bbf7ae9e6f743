using System.Runtime.InteropServices;

namespace Resilience.Benchmarks.Harness;

/// <summary>The processor time of the calling thread, which tells a slow case from a thread that was not let run.</summary>
internal static partial class ThreadClock
{
    private const int ThreadCpuTime = 3; // CLOCK_THREAD_CPUTIME_ID of Linux

    /// <summary>In seconds; not a number where the system does not tell.</summary>
    public static double CpuSeconds
    {
        get
        {
            if (!OperatingSystem.IsLinux() || clock_gettime(ThreadCpuTime, out TimeSpec time) != 0)
            {
                return double.NaN;
            }

            return time.Seconds + (time.Nanoseconds * 1e-9);
        }
    }

    [LibraryImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial int clock_gettime(int clock, out TimeSpec time);

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct TimeSpec
    {
        public readonly nint Seconds;
        public readonly nint Nanoseconds;
    }
}
