using Microsoft.AspNetCore.Http;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>One file of the page.</summary>
/// <param name="name">Its name in the URL.</param>
internal sealed class DashboardAsset(string name)
{
    private volatile byte[]? _content;

    public string Name => name;

    public string ContentType { get; } = Path.GetExtension(name) switch
    {
        ".html" => "text/html; charset=utf-8",
        ".css" => "text/css; charset=utf-8",
        ".js" => "text/javascript; charset=utf-8",
        ".svg" => "image/svg+xml",
        string extension => throw new InvalidOperationException($"The dashboard's file '{name}' has an extension without a type: '{extension}'."),
    };

    /// <summary>What it holds; read when somebody first looks at the dashboard.</summary>
    public ReadOnlyMemory<byte> Content => _content ??= DashboardPages.Load(name);
}

/// <summary>Serves the page and its files, which are embedded in the assembly.</summary>
internal static class DashboardPages
{
    private const string Prefix = "dashboard/";

    private static readonly DashboardAsset Page = new("index.html");

    /// <summary>The files beside the page.</summary>
    public static IReadOnlyList<DashboardAsset> Assets { get; } =
    [
        .. typeof(DashboardPages).Assembly.GetManifestResourceNames()
            .Where(name => name.StartsWith(Prefix, StringComparison.Ordinal) && !name.EndsWith(".html", StringComparison.Ordinal))
            .Select(name => new DashboardAsset(name[Prefix.Length..])),
    ];

    public static Task PageAsync(HttpContext context)
    {
        // The page's own links are relative, so that it works under any path base; they need the slash at the end.
        if (context.Request.Path.Value is { } path && !path.EndsWith('/'))
        {
            DashboardHeaders.Write(context);
            context.Response.Redirect($"{context.Request.PathBase.ToUriComponent()}{context.Request.Path.ToUriComponent()}/");
            return Task.CompletedTask;
        }

        return AssetAsync(context, Page);
    }

    public static Task AssetAsync(HttpContext context, DashboardAsset asset)
    {
        DashboardHeaders.Write(context);
        if (DashboardProtectionOf.Refuses(context))
        {
            return Task.CompletedTask;
        }

        context.Response.ContentType = asset.ContentType;
        context.Response.ContentLength = asset.Content.Length;
        return context.Response.Body.WriteAsync(asset.Content, context.RequestAborted).AsTask();
    }

    internal static byte[] Load(string name)
    {
        using Stream stream = typeof(DashboardPages).Assembly.GetManifestResourceStream(Prefix + name)
            ?? throw new InvalidOperationException($"The dashboard's file '{name}' is not in the assembly.");
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }
}
