using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Resilience.Context;

/// <summary>
/// Knows the types that belong to one request and must not outlive it. Types of ASP.NET Core are known by name, because this package
/// stands below it.
/// </summary>
internal static class RequestBound
{
    private static readonly string[] Names =
    [
        "Microsoft.AspNetCore.Http.HttpContext",
        "Microsoft.AspNetCore.Http.HttpRequest",
        "Microsoft.AspNetCore.Http.HttpResponse",
        "Microsoft.AspNetCore.Http.Features.IFeatureCollection",
        "Microsoft.AspNetCore.Mvc.ActionContext",
        "Grpc.Core.ServerCallContext",
        "Microsoft.AspNetCore.SignalR.HubCallerContext",
        "Microsoft.AspNetCore.Mvc.ControllerBase",
        "Microsoft.AspNetCore.Mvc.RazorPages.PageModel",
        "Microsoft.EntityFrameworkCore.DbContext",
    ];

    private static readonly ConcurrentDictionary<Type, (bool IsRequest, bool IsHeld)> Known = new();

    /// <summary>Whether values of a type belong to a request: scopes, scoped service providers, tokens, the request types of the platform, and tuples with one of these.</summary>
    public static bool IsRequestType(Type type) => Known.GetOrAdd(type, Decide).IsRequest;

    /// <summary>Whether values of a type cannot be kept beyond a request: those of requests, and all that must be disposed or may capture.</summary>
    public static bool IsHeldType(Type type) => Known.GetOrAdd(type, Decide).IsHeld;

    private static (bool IsRequest, bool IsHeld) Decide(Type type)
    {
        Type[] parts = type.IsGenericType && type.IsAssignableTo(typeof(ITuple)) ? type.GetGenericArguments() : [];
        bool isRequest = type == typeof(RequestScope) || type == typeof(CancellationToken) || type.IsAssignableTo(typeof(IServiceProvider)) || IsNamed(type)
            || Array.Exists(parts, IsRequestType);
        bool isHeld = isRequest || type.IsAssignableTo(typeof(IDisposable)) || type.IsAssignableTo(typeof(IAsyncDisposable)) || type.IsAssignableTo(typeof(Delegate))
            || Array.Exists(parts, IsHeldType);
        return (isRequest, isHeld);
    }

    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "An interface that trimming removed is one that nobody can ask the value for.")]
    private static bool IsNamed(Type type)
    {
        for (Type? current = type; current is not null; current = current.BaseType)
        {
            if (Array.IndexOf(Names, current.FullName) >= 0)
            {
                return true;
            }
        }

        // The host's own class of them has another name on every host.
        return Array.Exists(type.GetInterfaces(), static contract => Array.IndexOf(Names, contract.FullName) >= 0);
    }
}
