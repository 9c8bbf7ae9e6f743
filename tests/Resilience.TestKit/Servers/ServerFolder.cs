using System.Diagnostics;
using System.Globalization;

namespace Resilience.TestKit;

/// <summary>A temporary folder named after the process that owns it, so that the next run can sweep what a killed one left behind.</summary>
internal sealed class ServerFolder : IDisposable
{
    private const string Prefix = "resilience-testkit-";

    static ServerFolder()
    {
        foreach (string folder in Directory.EnumerateDirectories(System.IO.Path.GetTempPath(), Prefix + "*"))
        {
            string owner = System.IO.Path.GetFileName(folder)[Prefix.Length..].Split('-')[0];
            if (int.TryParse(owner, CultureInfo.InvariantCulture, out int id) && !IsAlive(id))
            {
                TryDelete(folder);
            }
        }
    }

    public ServerFolder(string purpose)
    {
        Path = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"{Prefix}{Environment.ProcessId}-{purpose}-{Guid.NewGuid():N}");
        Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    public void Dispose() => TryDelete(Path);

    private static bool IsAlive(int id)
    {
        try
        {
            using Process process = Process.GetProcessById(id);
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static void TryDelete(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Another run sweeps too, or it belongs to another user: a leftover in the temporary folder harms nobody.
        }
    }
}
