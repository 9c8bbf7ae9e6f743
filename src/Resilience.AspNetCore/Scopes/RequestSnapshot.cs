using System.Collections.Frozen;
using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Resilience.Context;

namespace Resilience.AspNetCore;

/// <summary>
/// A copy of the few things that are worth telling about a request after it has been answered, for logs and background work. It refers to
/// nothing of the request: a whole <see cref="HttpContext"/> kept by one pointer is how gateways run out of memory. Immutable.
/// </summary>
public sealed record RequestSnapshot
{
    private static readonly FrozenSet<string> Secrets = FrozenSet.Create(StringComparer.OrdinalIgnoreCase,
        "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-CSRF-Token", "X-XSRF-TOKEN");

    private RequestSnapshot(string id, string? traceId, string method, string path, IReadOnlyDictionary<string, string> headers)
    {
        Id = id;
        TraceId = traceId;
        Method = method;
        Path = path;
        Headers = headers;
    }

    /// <summary>The identifier of the request scope; the host's identifier of the request when there is no scope.</summary>
    public string Id { get; }

    /// <summary>The trace that the request belongs to; <see langword="null"/> when it is not traced.</summary>
    public string? TraceId { get; }

    /// <summary>The method.</summary>
    public string Method { get; }

    /// <summary>
    /// The path with its base, without the query, which may hold what nobody should log. Line breaks and other control characters, which a path has once
    /// it is decoded, are <c>?</c>: it is meant for logs.
    /// </summary>
    public string Path { get; }

    /// <summary>The chosen headers that the request had. Values of those that hold credentials are <c>***</c>.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; }

    /// <summary>Copies.</summary>
    /// <param name="context">The request; not kept.</param>
    /// <param name="headers">The names of the headers to copy; none by default.</param>
    public static RequestSnapshot Of(HttpContext context, params ReadOnlySpan<string> headers)
    {
        ArgumentNullException.ThrowIfNull(context);
        HttpRequest request = context.Request;
        Dictionary<string, string>? copied = null;
        foreach (string name in headers)
        {
            if (request.Headers.TryGetValue(name, out StringValues values))
            {
                copied ??= new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
                copied[name] = Secrets.Contains(name) ? "***" : values.ToString();
            }
        }

        return new RequestSnapshot(
            RequestScope.Current?.Id ?? context.TraceIdentifier,
            Activity.Current?.TraceId.ToString(),
            request.Method,
            WithoutControls(request.PathBase.Add(request.Path).Value ?? ""),
            copied is null ? FrozenDictionary<string, string>.Empty : copied);
    }

    private static string WithoutControls(string text) =>
        text.Any(IsControl) ? string.Concat(text.Select(static character => IsControl(character) ? '?' : character)) : text;

    private static bool IsControl(char character) => char.IsControl(character) || character is '\u2028' or '\u2029';

    /// <summary>The method, the path and the identifier.</summary>
    public override string ToString() => $"{Method} {Path} ({Id})";
}
