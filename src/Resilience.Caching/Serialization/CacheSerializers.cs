using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Caching.Serialization;

/// <summary>
/// Finds the serialiser of a type, once per type: a registered <see cref="IHybridCacheSerializer{T}"/>, then the registered
/// <see cref="IHybridCacheSerializerFactory"/>s, last one first, then text and bytes as they are, then System.Text.Json.
/// </summary>
internal sealed class CacheSerializers(IServiceProvider? services)
{
    private readonly ConcurrentDictionary<Type, object> _found = new();
    private readonly IHybridCacheSerializerFactory[] _factories =
        services is null ? [] : [.. services.GetServices<IHybridCacheSerializerFactory>().Reverse()];

    private readonly JsonSerializerOptions? _json = services?.GetKeyedService<JsonSerializerOptions>(typeof(IHybridCacheSerializer<>));

    /// <summary>The serialiser of a type.</summary>
    /// <exception cref="NotSupportedException">There is none: no serialiser is registered, and System.Text.Json knows no contract for the type.</exception>
    public IHybridCacheSerializer<T> Get<T>() =>
        (IHybridCacheSerializer<T>)(_found.TryGetValue(typeof(T), out object? found) ? found : _found.GetOrAdd(typeof(T), Find<T>()));

    private object Find<T>()
    {
        if (services?.GetService<IHybridCacheSerializer<T>>() is { } registered)
        {
            return registered;
        }

        foreach (IHybridCacheSerializerFactory factory in _factories)
        {
            if (factory.TryCreateSerializer(out IHybridCacheSerializer<T>? made))
            {
                return made;
            }
        }

        if (typeof(T) == typeof(string))
        {
            return TextSerializer.Instance;
        }

        if (typeof(T) == typeof(byte[]))
        {
            return BytesSerializer.Instance;
        }

        return (_json ?? DefaultJson.Value).TryGetTypeInfo(typeof(T), out JsonTypeInfo? contract)
            ? new JsonCacheSerializer<T>((JsonTypeInfo<T>)contract)
            : throw new NotSupportedException(
                $"There is no serialiser for {typeof(T)}. Register an IHybridCacheSerializer<T>, or JsonSerializerOptions with a source-generated context under the key typeof(IHybridCacheSerializer<>).");
    }

    private static class DefaultJson
    {
        public static readonly JsonSerializerOptions Value = Make();

        [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "Used only where the application keeps reflection-based serialisation switched on; a trimmed one has it off by default.")]
        [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "The same.")]
        private static JsonSerializerOptions Make()
        {
            var options = new JsonSerializerOptions();
            if (JsonSerializer.IsReflectionEnabledByDefault)
            {
                options.TypeInfoResolver = new DefaultJsonTypeInfoResolver();
            }
            else
            {
                options.TypeInfoResolver = JsonTypeInfoResolver.Combine();
            }

            options.MakeReadOnly();
            return options;
        }
    }

    private sealed class TextSerializer : IHybridCacheSerializer<string>
    {
        public static readonly TextSerializer Instance = new();

        public string Deserialize(ReadOnlySequence<byte> source) => Encoding.UTF8.GetString(source);

        public void Serialize(string value, IBufferWriter<byte> target) => Encoding.UTF8.GetBytes(value, target);
    }

    private sealed class BytesSerializer : IHybridCacheSerializer<byte[]>
    {
        public static readonly BytesSerializer Instance = new();

        public byte[] Deserialize(ReadOnlySequence<byte> source) => source.ToArray();

        public void Serialize(byte[] value, IBufferWriter<byte> target) => target.Write(value);
    }
}
