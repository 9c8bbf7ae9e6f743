using System.Reflection;

namespace Resilience.Settings;

/// <summary>Reads and writes a property of a settings object.</summary>
/// <remarks>
/// From the second time on, reflection compiles a method for each property that it is asked for: two hundred of them at the start of a
/// service with everything on, which live on for ever. A delegate that is bound to the object and forgotten needs none.
/// </remarks>
internal static class SettingsProperty
{
    /// <summary>Whether a property is a single value: no settings, map or list.</summary>
    public static bool IsScalar(PropertyInfo property) => property.PropertyType.IsValueType || property.PropertyType == typeof(string);

    /// <summary>The value of a property, as <see cref="PropertyInfo.GetValue(object)"/> has it.</summary>
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

    /// <summary>Sets a property, as <see cref="PropertyInfo.SetValue(object, object)"/> does.</summary>
    public static void Write(PropertyInfo property, object settings, object? value)
    {
        MethodInfo? setter = property.SetMethod;
        Type type = property.PropertyType;
        if (setter is not null && type == typeof(string))
        {
            setter.CreateDelegate<Action<string?>>(settings)((string?)value);
        }
        else if (setter is not null && type == typeof(TimeSpan))
        {
            setter.CreateDelegate<Action<TimeSpan>>(settings)((TimeSpan)value!);
        }
        else if (setter is not null && type == typeof(int))
        {
            setter.CreateDelegate<Action<int>>(settings)((int)value!);
        }
        else if (setter is not null && type == typeof(long))
        {
            setter.CreateDelegate<Action<long>>(settings)((long)value!);
        }
        else if (setter is not null && type == typeof(bool))
        {
            setter.CreateDelegate<Action<bool>>(settings)((bool)value!);
        }
        else if (setter is not null && type == typeof(double))
        {
            setter.CreateDelegate<Action<double>>(settings)((double)value!);
        }
        else
        {
            property.SetValue(settings, value);
        }
    }
}
