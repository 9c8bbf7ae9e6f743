using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Resilience.Context;

/// <summary>Finds work that drags its request along: a state that belongs to the request or, in development, a closure over one.</summary>
internal static class CaptureCheck
{
    private static readonly ConcurrentDictionary<Type, string?> Closures = new();

    /// <summary>Refuses a state whose type belongs to a request.</summary>
    /// <exception cref="ArgumentException">It does.</exception>
    public static void State<TState>(TState state)
    {
        if (RequestBound.IsRequestType(typeof(TState)) || (state is not null && RequestBound.IsRequestType(state.GetType())))
        {
            throw new ArgumentException($"A {state?.GetType().Name ?? typeof(TState).Name} belongs to its request and cannot go into background work. Pass what the work needs of it as plain values, and take services from the provider that the work is given.", nameof(state));
        }
    }

    /// <summary>Refuses a lambda that captures something of a request.</summary>
    /// <exception cref="ArgumentException">It does.</exception>
    public static void Closure(Delegate work)
    {
        if (work.Target is { } target && Closures.GetOrAdd(target.GetType(), FindBound) is { } field)
        {
            throw new ArgumentException($"The work captures '{field}', which belongs to its request. Make the lambda static and pass plain values as its state.", nameof(work));
        }
    }

    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "A help during development: a field that trimming removed cannot capture anything.")]
    private static string? FindBound(Type closure)
    {
        // A lambda that uses nothing but members of a controller has the controller itself as its target.
        if (RequestBound.IsRequestType(closure))
        {
            return $"this ({closure.Name})";
        }

        if (!closure.IsDefined(typeof(CompilerGeneratedAttribute)))
        {
            return null;
        }

        foreach (FieldInfo field in closure.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
        {
            if (RequestBound.IsRequestType(field.FieldType))
            {
                return field.Name;
            }

            // The closure of a block refers to that of the block around it.
            if (field.FieldType != closure && field.FieldType.IsDefined(typeof(CompilerGeneratedAttribute)) && FindBound(field.FieldType) is { } outer)
            {
                return outer;
            }
        }

        return null;
    }
}
