using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace Resilience.Integration.Tests.Architecture;

public sealed class ArchitectureTests
{
    /// <summary>What no package calls, by the beginning of its name, and why.</summary>
    private static readonly (string Called, string Because)[] Banned =
    [
        ("System.DateTime.get_Now(", "time comes from a TimeProvider"),
        ("System.DateTime.get_UtcNow(", "time comes from a TimeProvider"),
        ("System.DateTime.get_Today(", "time comes from a TimeProvider"),
        ("System.DateTimeOffset.get_Now(", "time comes from a TimeProvider"),
        ("System.DateTimeOffset.get_UtcNow(", "time comes from a TimeProvider"),
        ("System.Diagnostics.Stopwatch.", "time comes from a TimeProvider"),
        ("System.Environment.get_TickCount", "time comes from a TimeProvider, on hot paths through CoarseClock"),
        ("System.Threading.Timer..ctor(", "timers come from a TimeProvider"),
        ("System.Timers.Timer.", "timers come from a TimeProvider"),
        ("System.Threading.PeriodicTimer..ctor(System.TimeSpan)", "timers come from a TimeProvider"),
        ("System.Threading.Tasks.Task.Delay(System.TimeSpan)", "give it the TimeProvider"),
        ("System.Threading.Tasks.Task.Delay(System.TimeSpan, System.Threading.CancellationToken)", "give it the TimeProvider"),
        ("System.Threading.Tasks.Task.Delay(Int32", "give it the TimeProvider"),
        ("System.Threading.CancellationTokenSource..ctor(System.TimeSpan)", "give it the TimeProvider"),
        ("System.Threading.CancellationTokenSource..ctor(Int32", "give it the TimeProvider"),
        ("System.Threading.Thread.Sleep(", "nothing blocks a pool thread"),
        ("System.Threading.Tasks.Task.Wait(", "nothing blocks a pool thread"),
        ("System.Threading.Tasks.Task.WaitAll(", "nothing blocks a pool thread"),
        ("System.Threading.Tasks.Task.WaitAny(", "nothing blocks a pool thread"),
        ("System.GC.Collect(", "a library leaves the collector alone"),
        ("System.Environment.Exit(", "a library does not end the process"),
        ("System.Console.", "a library logs"),
    ];

    /// <summary>The calls that are right all the same: the caller's beginning, the call's beginning, and why.</summary>
    private static readonly (string Caller, string Called, string Because)[] Allowed =
    [
        ("Resilience.Context.CoarseClock.", "System.Environment.get_TickCount64(", "it is the house's one coarse clock over TimeProvider.System"),
        ("Resilience.Degrade.PressureMonitor.", "System.Environment.get_TickCount64(", "its own thread paces itself by the machine's clock, whatever clock the signals run on"),
        ("Resilience.Degrade.FileOverrideStore.", "System.Threading.Tasks.Task.Delay(Int32, ", "an endless wait for the token, which no clock ends"),
        ("Resilience.Degrade.MemoryOverrideStore.", "System.Threading.Tasks.Task.Delay(Int32, ", "an endless wait for the token, which no clock ends"),
        ("Resilience.Degrade.MemoryRelief.", "System.GC.Collect(", "asking the collector is what it is for"),
        ("Resilience.Context.Deadline.", "System.Environment.get_TickCount64(", "over TimeProvider.System it stands on the coarse clock"),
    ];

    [Fact]
    public void Sources_EveryProject_IsInTheDesign() =>
        Assert.Equal(
            Projects.MayUse.Keys.Concat(Projects.Embedded).Order(StringComparer.Ordinal),
            Directory.EnumerateFiles(Path.Combine(Repository.Root, "src"), "*.csproj", SearchOption.AllDirectories)
                .Select(path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public void References_Assembly_ObeyTheArrows(string project)
    {
        using var portable = new PEReader(File.OpenRead(Projects.Assembly(project)));
        MetadataReader reader = portable.GetMetadataReader();
        string[] references = [.. reader.AssemblyReferences.Select(handle => reader.GetString(reader.GetAssemblyReference(handle).Name))];

        Assert.Empty(references.Where(name => name.StartsWith("Resilience.", StringComparison.Ordinal)).Except(Projects.MayUse[project]));
        if (project != "Resilience.Redis")
        {
            Assert.DoesNotContain("StackExchange.Redis", references);
        }

        if (project is not ("Resilience.AspNetCore" or "Resilience.Hosting"))
        {
            Assert.DoesNotContain(references, name => name.StartsWith("Microsoft.AspNetCore.", StringComparison.Ordinal));
        }
    }

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public void Calls_Assembly_NoneBanned(string project)
    {
        string[] found =
        [
            .. from call in IlScan.ForeignCalls(Projects.Assembly(project))
               from banned in Banned
               where call.Called.StartsWith(banned.Called, StringComparison.Ordinal)
               where !Allowed.Any(allowed => call.Caller.StartsWith(allowed.Caller, StringComparison.Ordinal) && call.Called.StartsWith(allowed.Called, StringComparison.Ordinal))
               select $"{call.Caller} calls {call.Called}: {banned.Because}",
        ];

        Assert.True(found.Length == 0, string.Join('\n', found.Distinct(StringComparer.Ordinal)) + "\nWhere it is right all the same, say why in ArchitectureTests.Allowed.");
    }

    [Fact]
    public void Calls_ThisAssembly_AreSeenByTheScan()
    {
        Assert.True(DateTime.UtcNow > DateTime.MinValue);

        Assert.Contains(IlScan.ForeignCalls(typeof(ArchitectureTests).Assembly.Location), call =>
            call == ($"{typeof(ArchitectureTests).FullName}.{nameof(Calls_ThisAssembly_AreSeenByTheScan)}", "System.DateTime.get_UtcNow()"));
    }
}
