using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;

namespace Resilience.Incidents.Incidents.OverloadCpu;

/// <summary>Pages that cost some twelve milliseconds of a core and ten of waiting each.</summary>
internal static class Pages
{
    private const int Rounds = 128;

    private static readonly byte[] Template = new byte[64 * 1024];

    public static async Task RenderAsync(HttpContext context)
    {
        await Task.Delay(10, context.RequestAborted);
        string page = Render();
        context.Response.ContentLength = page.Length;
        await context.Response.WriteAsync(page, context.RequestAborted);
    }

    private static string Render()
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        for (int i = 0; i < Rounds; i++)
        {
            SHA256.HashData(Template, hash);
        }

        return Convert.ToHexString(hash);
    }
}
