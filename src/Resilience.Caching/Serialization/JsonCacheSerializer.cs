using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Extensions.Caching.Hybrid;

namespace Resilience.Caching.Serialization;

/// <summary>System.Text.Json over a contract.</summary>
internal sealed class JsonCacheSerializer<T>(JsonTypeInfo<T> contract) : IHybridCacheSerializer<T>
{
    public T Deserialize(ReadOnlySequence<byte> source)
    {
        var reader = new Utf8JsonReader(source);
        return JsonSerializer.Deserialize(ref reader, contract)!;
    }

    public void Serialize(T value, IBufferWriter<byte> target)
    {
        using var writer = new Utf8JsonWriter(target, new JsonWriterOptions { SkipValidation = true });
        JsonSerializer.Serialize(writer, value, contract);
    }
}
