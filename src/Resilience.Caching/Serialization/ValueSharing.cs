using System.ComponentModel;
using System.Runtime.CompilerServices;

namespace Resilience.Caching.Serialization;

/// <summary>
/// Whether one instance of a type may be handed to every caller, because nobody can change it: strings, primitives and their like, sealed
/// types marked <c>[ImmutableObject(true)]</c>, and readonly structs without references.
/// </summary>
internal static class ValueSharing<T>
{
    public static readonly bool IsShareable = Decide();

    private static bool Decide()
    {
        Type type = Nullable.GetUnderlyingType(typeof(T)) ?? typeof(T);
        if (type == typeof(string) || type.IsPrimitive || type.IsEnum || type == typeof(Uri) || type == typeof(Version))
        {
            return true;
        }

        if (type.IsValueType && !RuntimeHelpers.IsReferenceOrContainsReferences<T>())
        {
            // A struct is copied when it is handed out, so even a mutable one without references cannot be changed for others.
            return true;
        }

        return (type.IsSealed || type.IsValueType)
            && Attribute.GetCustomAttribute(type, typeof(ImmutableObjectAttribute)) is ImmutableObjectAttribute { Immutable: true };
    }
}
