using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Pressure;

/// <summary>The reader against recorded trees of both versions.</summary>
public sealed class ControlGroupTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("cgroup").FullName;

    [Fact]
    public void TryReadMemory_Version2_LeavesOutReclaimableCache()
    {
        Write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        Write("proc/self/cgroup", "0::/app/one\n");
        Write("sys/fs/cgroup/app/memory.max", "268435456\n");
        Write("sys/fs/cgroup/app/memory.current", "200000000\n");
        Write("sys/fs/cgroup/app/memory.stat", "anon 100\nfile 2000\ninactive_anon 7\nactive_file 9\ninactive_file 50000000\n");
        Write("sys/fs/cgroup/app/one/memory.max", "max\n");
        Write("sys/fs/cgroup/app/cpu.max", "125000 100000\n");
        using ControlGroup group = ControlGroup.Find(_root);
        Assert.True(group.TryReadMemory(out long used, out long limit));
        Assert.Equal((150_000_000, 268_435_456), (used, limit));
        Assert.True(group.TryReadCores(out double cores));
        Assert.Equal(1.25, cores);
    }

    [Fact]
    public void TryRead_Version2WithoutLimits_SaysSo()
    {
        Write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        Write("sys/fs/cgroup/memory.max", "max\n");
        Write("sys/fs/cgroup/memory.current", "1\n");
        Write("sys/fs/cgroup/cpu.max", "max 100000\n");
        using ControlGroup group = ControlGroup.Find(_root);
        Assert.False(group.TryReadMemory(out _, out _));
        Assert.False(group.TryReadCores(out _));
    }

    [Fact]
    public void TryReadMemory_Version1_TakesTheTotalOfTheHierarchy()
    {
        Write("proc/self/cgroup", "4:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n");
        Write("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "1000000\n");
        Write("sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "900000\n");
        Write("sys/fs/cgroup/memory/docker/x/memory.stat", "inactive_file 5\ntotal_inactive_file 100000\n");
        Write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "25000\n");
        Write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
        using ControlGroup group = ControlGroup.Find(_root);
        Assert.True(group.TryReadMemory(out long used, out long limit));
        Assert.Equal((800_000, 1_000_000), (used, limit));
        Assert.True(group.TryReadCores(out double cores));
        Assert.Equal(0.25, cores);
    }

    [Fact]
    public void TryReadMemory_Version1Unlimited_SaysSo()
    {
        Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n");
        using ControlGroup group = ControlGroup.Find(_root);
        Assert.False(group.TryReadMemory(out _, out _));
    }

    [Fact]
    public void TryRead_FilesChange_TheNewValuesAreSeenWithoutAllocating()
    {
        Write("sys/fs/cgroup/cgroup.controllers", "memory\n");
        Write("sys/fs/cgroup/memory.max", "1000\n");
        Write("sys/fs/cgroup/memory.current", "400\n");
        using ControlGroup group = ControlGroup.Find(_root);
        Assert.True(group.TryReadMemory(out long used, out _));
        Assert.Equal(400, used);
        Write("sys/fs/cgroup/memory.current", "90\n");
        Assert.True(group.TryReadMemory(out used, out _));
        Assert.Equal(90, used);
        AllocationAssert.AtMost(0, () => group.TryReadMemory(out _, out _));
    }

    [Fact]
    public void Find_NothingThere_IsUnlimited()
    {
        using ControlGroup group = ControlGroup.Find(_root);
        Assert.False(group.TryReadMemory(out _, out _));
        Assert.False(group.TryReadCores(out _));
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private void Write(string path, string text)
    {
        string full = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);

        // Written in place, as the kernel does: the reader keeps the file open.
        using FileStream file = new(full, FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite);
        file.SetLength(0);
        file.Write(System.Text.Encoding.ASCII.GetBytes(text));
    }
}
