using System.Buffers.Text;
using Microsoft.Win32.SafeHandles;

namespace Resilience.Degrade;

/// <summary>
/// What the container may use and does use, from Linux control groups of version 2 or 1. Files are kept open and read into one buffer, so that
/// a reading allocates nothing; where there is no control group, all is unlimited.
/// </summary>
/// <remarks>Not thread-safe: the sampling thread's own.</remarks>
internal sealed class ControlGroup : IDisposable
{
    /// <summary>Version 1 writes "no limit" as the greatest multiple of a page; anything near it is none.</summary>
    private const long Unlimited = 1L << 60;

    private readonly byte[] _buffer = new byte[8192];
    private readonly SafeFileHandle? _current;
    private readonly SafeFileHandle? _limit;
    private readonly SafeFileHandle? _statistics;
    private readonly SafeFileHandle? _cpuQuota;
    private readonly SafeFileHandle? _cpuPeriod;
    private readonly byte[] _inactiveFile;

    private ControlGroup(bool isVersion2, string? memory, string? cpu)
    {
        IsVersion2 = isVersion2;
        _inactiveFile = isVersion2 ? "inactive_file "u8.ToArray() : "total_inactive_file "u8.ToArray();
        if (memory is not null)
        {
            _current = Open(Path.Combine(memory, isVersion2 ? "memory.current" : "memory.usage_in_bytes"));
            _limit = Open(Path.Combine(memory, isVersion2 ? "memory.max" : "memory.limit_in_bytes"));
            _statistics = Open(Path.Combine(memory, "memory.stat"));
        }

        if (cpu is not null)
        {
            _cpuQuota = Open(Path.Combine(cpu, isVersion2 ? "cpu.max" : "cpu.cfs_quota_us"));
            _cpuPeriod = isVersion2 ? null : Open(Path.Combine(cpu, "cpu.cfs_period_us"));
        }
    }

    public bool IsVersion2 { get; }

    /// <summary>Finds the control groups of this process.</summary>
    /// <param name="root">What stands for <c>/</c>.</param>
    public static ControlGroup Find(string root)
    {
        string mount = Path.Combine(root, "sys/fs/cgroup");
        bool isVersion2 = File.Exists(Path.Combine(mount, "cgroup.controllers"));
        string[] lines = [];
        try
        {
            string own = Path.Combine(root, "proc/self/cgroup");
            lines = File.Exists(own) ? File.ReadAllLines(own) : [];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Not readable is the same as not there: then only the mount's root is looked at.
        }

        return isVersion2
            ? new ControlGroup(true, Nearest(mount, PathOf(lines, ""), "memory.max"), Nearest(mount, PathOf(lines, ""), "cpu.max"))
            : new ControlGroup(
                false,
                Nearest(Path.Combine(mount, "memory"), PathOf(lines, "memory"), "memory.limit_in_bytes"),
                Nearest(Path.Combine(mount, "cpu"), PathOf(lines, "cpu"), "cpu.cfs_quota_us"));
    }

    /// <summary>Memory in use without the file cache that the kernel would give up, and its limit, in bytes.</summary>
    /// <returns>Whether there is a limit.</returns>
    public bool TryReadMemory(out long used, out long limit)
    {
        used = limit = 0;
        if (_current is null || _limit is null || !TryReadNumber(_limit, out limit) || limit >= Unlimited || limit <= 0 || !TryReadNumber(_current, out long current))
        {
            return false;
        }

        long inactive = 0;
        if (_statistics is not null)
        {
            ReadOnlySpan<byte> text = Read(_statistics);
            int at = text.StartsWith(_inactiveFile) ? 0 : text.IndexOf(_inactiveFile);

            // "inactive_file" must stand at the start of its line: "total_inactive_file" is another one.
            while (at > 0 && text[at - 1] != (byte)'\n')
            {
                int next = text[(at + 1)..].IndexOf(_inactiveFile);
                at = next < 0 ? -1 : at + 1 + next;
            }

            if (at >= 0 && Utf8Parser.TryParse(text[(at + _inactiveFile.Length)..], out long value, out _))
            {
                inactive = value;
            }
        }

        used = Math.Max(0, current - inactive);
        return true;
    }

    /// <summary>How many cores the quota allows, which may be a fraction.</summary>
    /// <returns>Whether there is a quota.</returns>
    public bool TryReadCores(out double cores)
    {
        cores = 0;
        if (_cpuQuota is null)
        {
            return false;
        }

        ReadOnlySpan<byte> text = Read(_cpuQuota);
        if (!Utf8Parser.TryParse(text, out long quota, out int read) || quota <= 0)
        {
            return false; // "max" in version 2, -1 in version 1
        }

        long period = 100_000;
        if (IsVersion2)
        {
            if (read + 1 < text.Length && Utf8Parser.TryParse(text[(read + 1)..], out long own, out _))
            {
                period = own;
            }
        }
        else if (_cpuPeriod is not null && TryReadNumber(_cpuPeriod, out long own))
        {
            period = own;
        }

        cores = period > 0 ? (double)quota / period : 0;
        return cores > 0;
    }

    public void Dispose()
    {
        _current?.Dispose();
        _limit?.Dispose();
        _statistics?.Dispose();
        _cpuQuota?.Dispose();
        _cpuPeriod?.Dispose();
    }

    private static string PathOf(string[] lines, string controller)
    {
        foreach (string line in lines)
        {
            string[] parts = line.Split(':', 3);
            if (parts.Length == 3 && parts[1].Split(',').Contains(controller, StringComparer.Ordinal))
            {
                return parts[2].TrimStart('/');
            }
        }

        return "";
    }

    /// <summary>The innermost directory, from the process's own up to the mount, that has a limit; the own one where none has.</summary>
    private static string? Nearest(string mount, string path, string file)
    {
        string? first = null;
        for (string? directory = Path.Combine(mount, path); directory is not null && directory.Length >= mount.Length; directory = Path.GetDirectoryName(directory))
        {
            string candidate = Path.Combine(directory, file);
            if (!File.Exists(candidate))
            {
                continue;
            }

            first ??= directory;
            try
            {
                string text = File.ReadAllText(candidate).Trim();
                if (text.Length > 0 && !text.StartsWith("max", StringComparison.Ordinal) && !text.StartsWith('-') && !(long.TryParse(text, out long bytes) && bytes >= Unlimited))
                {
                    return directory;
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // What cannot be read limits nobody that we know of.
            }
        }

        return first;
    }

    private static SafeFileHandle? Open(string path)
    {
        try
        {
            return File.Exists(path) ? File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite) : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private bool TryReadNumber(SafeFileHandle file, out long value) => Utf8Parser.TryParse(Read(file), out value, out _);

    private ReadOnlySpan<byte> Read(SafeFileHandle file)
    {
        try
        {
            return _buffer.AsSpan(0, RandomAccess.Read(file, _buffer, 0));
        }
        catch (IOException)
        {
            return default; // the group is gone: the process is being moved; the next reading tells
        }
    }
}
