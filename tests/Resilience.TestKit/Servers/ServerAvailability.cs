using System.Diagnostics.CodeAnalysis;
using Xunit;

namespace Resilience.TestKit;

/// <summary>
/// Which real servers this machine has, and what becomes of a test that needs one it has not: a skip that says so on a laptop, a
/// failure where the environment variable <c>CI</c> is set.
/// </summary>
public static class ServerAvailability
{
    /// <summary>Whether this is a continuous-integration run: <c>CI</c> is set and is neither <c>false</c> nor <c>0</c>.</summary>
    public static bool IsContinuousIntegration =>
        Environment.GetEnvironmentVariable("CI") is { Length: > 0 } value && value != "0" && !value.Equals("false", StringComparison.OrdinalIgnoreCase);

    /// <summary>The path of <c>redis-server</c> (<c>REDIS_SERVER</c> overrides), or <see langword="null"/>.</summary>
    public static string? RedisServerPath { get; } = Environment.GetEnvironmentVariable("REDIS_SERVER") ?? Executables.Find("redis-server");

    /// <summary>The folder of PostgreSQL's programs (<c>POSTGRES_BIN</c> overrides), or <see langword="null"/>.</summary>
    public static string? PostgresFolder { get; } = Environment.GetEnvironmentVariable("POSTGRES_BIN") ?? FindPostgres();

    /// <summary>Goes on with redis-server's path, or skips or fails the test.</summary>
    public static string RequireRedis()
    {
        Require(RedisServerPath, "redis-server", "redis-server");
        return RedisServerPath;
    }

    /// <summary>Goes on with the folder of PostgreSQL's programs, or skips or fails the test.</summary>
    public static string RequirePostgres()
    {
        Require(PostgresFolder, "PostgreSQL", "postgresql");
        return PostgresFolder;
    }

    /// <summary>Skips the test on a laptop, or fails it in CI, unless something is there.</summary>
    /// <param name="found">What was found, or <see langword="null"/>.</param>
    /// <param name="what">What the test needs.</param>
    /// <param name="package">The distribution's package that has it.</param>
    public static void Require([NotNull] object? found, string what, string package)
    {
        if (found is not null)
        {
            return;
        }

        string message = $"{what} is not installed here. Install the package {package}, or run ./eng/test.sh, which does.";
        if (IsContinuousIntegration)
        {
            Assert.Fail($"{message} CI is set, so this is a failure and not a skip.");
        }

        Assert.Skip(message);
    }

    private static string? FindPostgres()
    {
        const string Debian = "/usr/lib/postgresql";
        IEnumerable<string> versions = !Directory.Exists(Debian) ? []
            : Directory.EnumerateDirectories(Debian)
                .OrderByDescending(folder => int.TryParse(Path.GetFileName(folder), out int version) ? version : 0)
                .Select(folder => Path.Combine(folder, "bin"));
        return versions.Append(Path.GetDirectoryName(Executables.Find("initdb")))
            .FirstOrDefault(folder => folder is not null && File.Exists(Path.Combine(folder, "initdb")));
    }
}
