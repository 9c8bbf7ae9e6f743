using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Hosting;
using Resilience.Pools;
using Resilience.Settings;

namespace Resilience.Integration.Tests.Docs;

/// <summary>Writes the configuration reference from the settings types: what is registered, its properties, defaults, limits and summaries.</summary>
internal static partial class ConfigurationReference
{
    public const string Marker = "<!-- generated from the settings types; UPDATE_DOCS=1 ./eng/test.sh rewrites what follows -->";

    public static string Generate()
    {
        var text = new StringBuilder();
        foreach ((string path, Type type) in Sections())
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## `{path}`\n\n{Summary($"T:{type.FullName}", type.Assembly)}\n\n| setting | type | default | allowed | what it does |\n|---|---|---|---|---|\n");
            AppendRows(text, "", type);
        }

        return text.ToString();
    }

    private static IEnumerable<(string Path, Type Type)> Sections()
    {
        IConfigurationRoot configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Resilience:Redis:Configuration"] = "127.0.0.1:6379",
            ["Resilience:Caches:<name>:Jitter"] = "0.1",
        }).Build();
        var services = new ServiceCollection();
        services.AddResilienceKit(configuration, kit => kit.AddPool("<name>", _ => new ResourceFactory<object>(_ => new ValueTask<object>(new object()))));
        services.AddRedisRateLimiter("<name>");
        return services
            .Select(descriptor => descriptor.IsKeyedService ? null : descriptor.ImplementationInstance as SettingsRegistration)
            .OfType<SettingsRegistration>()
            .Select(registration => (registration.Path, registration.Type))
            .Distinct()
            .OrderBy(section => section.Path, StringComparer.Ordinal);
    }

    private static void AppendRows(StringBuilder text, string prefix, Type type)
    {
        object? defaults = Activator.CreateInstance(type, nonPublic: true);
        foreach (PropertyInfo property in type.GetProperties(BindingFlags.Public | BindingFlags.Instance).OrderBy(property => property.MetadataToken))
        {
            object? value = property.GetValue(defaults);
            Type propertyType = property.PropertyType;
            string name = prefix + property.Name;
            if (typeof(ISettings).IsAssignableFrom(propertyType))
            {
                AppendRows(text, name + ":", propertyType);
            }
            else if (propertyType.IsGenericType && propertyType.GetGenericTypeDefinition() == typeof(SettingsMap<>))
            {
                Type entry = propertyType.GetGenericArguments()[0];
                string shorthand = typeof(IShorthandSettings).IsAssignableFrom(entry) ? "a section, or one value" : "a section";
                text.Append(CultureInfo.InvariantCulture, $"| `{name}:<name>` | {shorthand} | | | {Summary(property)} |\n");
                AppendRows(text, $"{name}:<name>:", entry);
            }
            else
            {
                text.Append(CultureInfo.InvariantCulture, $"| `{name}` | {TypeName(propertyType)} | {Default(value, property)} | {Allowed(property)} | {Summary(property)} |\n");
            }
        }
    }

    private static string TypeName(Type type) => (Nullable.GetUnderlyingType(type) ?? type) switch
    {
        { IsEnum: true } => "name",
        Type t when t == typeof(TimeSpan) => "time",
        Type t when t == typeof(bool) => "true or false",
        Type t when t == typeof(int) || t == typeof(long) => "whole number",
        Type t when t == typeof(double) => "number",
        Type t when t == typeof(string) => "text",
        Type t when typeof(IEnumerable<string>).IsAssignableFrom(t) => "list",
        Type t => t.Name,
    };

    private static string Default(object? value, PropertyInfo property) => value switch
    {
        null => "–",
        string { Length: 0 } => "–",
        TimeSpan span when span == Timeout.InfiniteTimeSpan => "`Infinite`",
        TimeSpan span => $"`{span:c}`",
        bool flag => flag ? "`true`" : "`false`",
        IEnumerable<string> list when value is not string => string.Join(", ", list.Select(item => $"`{item}`")) is { Length: > 0 } items ? items : "–",
        long bytes when property.IsDefined(typeof(ByteSizeAttribute)) => $"`{Bytes(bytes)}`",
        IFormattable formattable => $"`{formattable.ToString(null, CultureInfo.InvariantCulture)}`",
        _ => $"`{value}`",
    };

    private static string Allowed(PropertyInfo property)
    {
        Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        if (type.IsEnum)
        {
            return string.Join(", ", Enum.GetNames(type).Select(name => $"`{name}`"));
        }

        return property.GetCustomAttributes<ValidationAttribute>().FirstOrDefault() switch
        {
            RangeAttribute range => string.Create(CultureInfo.InvariantCulture, $"{range.Minimum} to {range.Maximum}"),
            TimeRangeAttribute time => $"{time.Minimum:c} to {time.Maximum:c}{(time.AllowInfinite ? ", `Infinite`" : "")}",
            ByteSizeAttribute size => $"{Bytes(size.Minimum)} to {Bytes(size.Maximum)}",
            _ => "",
        };
    }

    private static string Bytes(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        int unit = 0;
        while (bytes != 0 && bytes % 1024 == 0 && unit < units.Length - 1)
        {
            bytes /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{bytes} {units[unit]}");
    }

    private static string Summary(PropertyInfo property) =>
        Summary($"P:{property.DeclaringType!.FullName}.{property.Name}", property.DeclaringType.Assembly);

    private static string Summary(string member, Assembly assembly)
    {
        XElement? summary = XDocument.Load(Path.ChangeExtension(assembly.Location, ".xml")).Descendants("member")
            .FirstOrDefault(element => (string?)element.Attribute("name") == member)?.Element("summary");
        if (summary is null)
        {
            throw new InvalidOperationException($"{member} has no summary, and the configuration reference needs one.");
        }

        string text = string.Concat(summary.Nodes().Select(node => node switch
        {
            XElement { Name.LocalName: "see" or "paramref" } see => $"`{((string?)see.Attribute("cref") ?? (string?)see.Attribute("langword") ?? (string?)see.Attribute("name") ?? "").Split('(')[0].Split('.')[^1]}`",
            XElement { Name.LocalName: "c" } code => $"`{code.Value}`",
            XElement element => element.Value,
            _ => node.ToString(),
        }));
        return Space().Replace(text, " ").Trim().Replace("&lt;", "<", StringComparison.Ordinal).Replace("&gt;", ">", StringComparison.Ordinal).Replace("|", "\\|", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
