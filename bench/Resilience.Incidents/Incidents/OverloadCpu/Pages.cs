using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;

namespace Resilience.Incidents.Incidents.OverloadCpu;

/// <summary>Pages that cost some twenty milliseconds of a core and ten of waiting each, on whatever machine.</summary>
internal static class Pages
{
    /// <summary>The environment variable that tells the service what <see cref="MeasureRounds"/> has found, so that both sides do the same work.</summary>
    public const string RoundsVariable = "RESILIENCE_INCIDENTS_ROUNDS";

    private static readonly TimeSpan Cost = TimeSpan.FromMilliseconds(20);
    private static readonly byte[] Template = new byte[64 * 1024];
    private static readonly int Rounds = int.TryParse(Environment.GetEnvironmentVariable(RoundsVariable), CultureInfo.InvariantCulture, out int rounds) ? rounds : 128;

    public static async Task RenderAsync(HttpContext context)
    {
        await Task.Delay(10, context.RequestAborted);
        string page = Render(Rounds);
        context.Response.ContentLength = page.Length;
        await context.Response.WriteAsync(page, context.RequestAborted);
    }

    /// <summary>How many rounds a page takes so that it costs what it should on this machine.</summary>
    public static int MeasureRounds()
    {
        const int Sample = 64;
        Render(Sample);
        TimeSpan least = TimeSpan.MaxValue;
        for (int i = 0; i < 20; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Render(Sample);
            TimeSpan took = Stopwatch.GetElapsedTime(start);
            least = took < least ? took : least;
        }

        return Math.Max(1, (int)(Sample * (Cost / least)));
    }

    private static string Render(int rounds)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        for (int i = 0; i < rounds; i++)
        {
            SHA256.HashData(Template, hash);
        }

        return Convert.ToHexString(hash);
    }
}
