using System.Reflection;

namespace Resilience.Settings;

/// <summary>Reads a property of a settings object.</summary>
internal static class SettingsProperty
{
    /// <summary>The value of a property, as <see cref="PropertyInfo.GetValue(object)"/> has it.</summary>
    /// <remarks>
    /// From the second time on, reflection compiles a method for each property that it is asked for: two hundred of them at the start of a
    /// service with everything on, which live on for ever. A delegate that is bound to the object and forgotten needs none.
    /// </remarks>
    public static object? Read(PropertyInfo property, object settings)
    {
        MethodInfo? getter = property.GetMethod;
        Type type = property.PropertyType;
        return getter is null ? property.GetValue(settings)
            : !type.IsValueType ? getter.CreateDelegate<Func<object?>>(settings)()
            : type == typeof(TimeSpan) ? getter.CreateDelegate<Func<TimeSpan>>(settings)()
            : type == typeof(int) ? getter.CreateDelegate<Func<int>>(settings)()
            : type == typeof(bool) ? getter.CreateDelegate<Func<bool>>(settings)()
            : type == typeof(double) ? getter.CreateDelegate<Func<double>>(settings)()
            : type == typeof(long) ? getter.CreateDelegate<Func<long>>(settings)()
            : type == typeof(TimeSpan?) ? getter.CreateDelegate<Func<TimeSpan?>>(settings)()
            : type == typeof(int?) ? getter.CreateDelegate<Func<int?>>(settings)()
            : type == typeof(double?) ? getter.CreateDelegate<Func<double?>>(settings)()
            : type == typeof(long?) ? getter.CreateDelegate<Func<long?>>(settings)()
            : type == typeof(bool?) ? getter.CreateDelegate<Func<bool?>>(settings)()
            : property.GetValue(settings);
    }
}
