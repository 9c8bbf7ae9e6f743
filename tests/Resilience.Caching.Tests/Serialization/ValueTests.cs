using System.Buffers;
using System.ComponentModel;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching.Serialization;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Serialization;

/// <summary>Whose instance a caller gets, and by which serialiser values travel.</summary>
public sealed partial class ValueTests
{
    public static TheoryData<Type, bool> Types() => new()
    {
        { typeof(string), true },
        { typeof(int), true },
        { typeof(int?), true },
        { typeof(DayOfWeek), true },
        { typeof(decimal), true },
        { typeof(DateTimeOffset), true },
        { typeof(Guid), true },
        { typeof(Uri), true },
        { typeof(Version), true },
        { typeof(Marked), true },
        { typeof(MarkedRecord), true },
        { typeof(PlainStruct), true },
        { typeof(StructWithReference), false },
        { typeof(MarkedButOpen), false },
        { typeof(Plain), false },
        { typeof(PlainRecord), false },
        { typeof(byte[]), false },
        { typeof(List<int>), false },
        { typeof(object), false },
        { typeof((int, string)), false },
    };

    [Theory]
    [MemberData(nameof(Types))]
    public void IsShareable_OnlyWhereNobodyCanChangeAnInstance(Type type, bool expected) =>
        Assert.Equal(expected, typeof(ValueSharing<>).MakeGenericType(type).GetField("IsShareable")!.GetValue(null));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task MutableValue_LeaderJoinersAndLaterReaders_NobodySharesWithAnybody(bool fromShared)
    {
        var tier = new FakeSharedTier();
        await using ResilientCache source = TestCache.New(shared: tier);
        await using ResilientCache cache = TestCache.New(shared: tier);
        if (fromShared)
        {
            await source.SetAsync("key", new Plain { Name = "value" });
        }

        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        tier.Before = call => call == "read" ? gate.Task : Task.CompletedTask;
        Task<Plain>[] callers = [.. Enumerable.Range(0, 3).Select(_ => cache.GetAsync("key", async _ =>
        {
            await Task.Yield();
            return new Plain { Name = "value" };
        }).AsTask())];
        gate.SetResult();
        List<Plain> all = [.. await Task.WhenAll(callers).Soon()];
        for (int i = 0; i < 2; i++)
        {
            all.Add(await cache.GetAsync<Plain>("key", _ => throw new InvalidOperationException()));
        }

        Assert.All(all, plain => Assert.Equal("value", plain.Name));
        Assert.Equal(all.Count, all.Distinct(ReferenceEqualityComparer.Instance).Count());
    }

    [Fact]
    public async Task MarkedValue_EveryCaller_HasTheOneInstance()
    {
        await using ResilientCache cache = TestCache.New();
        Marked first = await cache.GetAsync("key", _ => new ValueTask<Marked>(new Marked("x")));
        Assert.Same(first, await cache.GetAsync<Marked>("key", _ => throw new InvalidOperationException()));
    }

    [Fact]
    public async Task ReuseInstances_TypeThatNothingCanSerialise_IsKept()
    {
        await using ResilientCache cache = TestCache.New();
        var options = new CacheEntryOptions { ReuseInstances = true };
        var made = new Unserialisable(() => 5);
        await cache.GetAsync("key", _ => new ValueTask<Unserialisable>(made), options);
        Assert.Same(made, await cache.GetAsync<Unserialisable>("key", _ => throw new InvalidOperationException(), options));
        await Assert.ThrowsAnyAsync<Exception>(async () => await cache.GetAsync("other", _ => new ValueTask<Unserialisable>(made)));
    }

    [Fact]
    public async Task FrameOfAnotherVersionOfTheType_IsACountedMissForMutableAndImmutableTypes()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache old = TestCache.New(shared: tier);
        await using ResilientCache current = TestCache.New(shared: tier);
        await old.SetAsync("mutable", "no JSON at all");
        await old.SetAsync("immutable", "no JSON at all");
        Assert.Equal("new", (await current.GetAsync("mutable", _ => new ValueTask<Plain>(new Plain { Name = "new" }))).Name);
        Assert.Equal(5, await current.GetAsync("immutable", _ => new ValueTask<int>(5)));
        Assert.Equal(2, current.Snapshot().BadFrames);
        await current.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal("new", (await current.GetAsync<Plain>("mutable", _ => throw new InvalidOperationException())).Name);
    }

    [Fact]
    public async Task SharedHit_OfAMutableType_IsDeserialisedOnceForTheOneWhoReadIt()
    {
        var tier = new FakeSharedTier();
        var counting = new CountingSerializer();
        await using ServiceProvider provider = new ServiceCollection().AddSingleton<IHybridCacheSerializer<Plain>>(counting).BuildServiceProvider();
        await using ResilientCache one = TestCache.New(shared: tier, parts: parts => parts with { Services = provider });
        await using ResilientCache two = TestCache.New(shared: tier, parts: parts => parts with { Services = provider });
        await one.SetAsync("key", new Plain { Name = "value" });
        Assert.Equal("value", (await two.GetAsync<Plain>("key", _ => throw new InvalidOperationException())).Name);
        Assert.Equal((1, 1), (counting.Written, counting.Read));
    }

    [Fact]
    public async Task Serializers_RegisteredOneThenFactoriesThenSourceGeneratedContext()
    {
        var services = new ServiceCollection();
        services.AddSingleton<IHybridCacheSerializer<Plain>>(new CountingSerializer());
        services.AddSingleton<IHybridCacheSerializerFactory>(new RecordFactory());
        services.AddKeyedSingleton<JsonSerializerOptions>(typeof(IHybridCacheSerializer<>), Context.Default.Options);
        await using ServiceProvider provider = services.BuildServiceProvider();
        var serializers = new CacheSerializers(provider);
        Assert.IsType<CountingSerializer>(serializers.Get<Plain>());
        Assert.IsType<RecordSerializer>(serializers.Get<PlainRecord>());

        // Of the context alone: a type that it does not know has no serialiser, though reflection would have one.
        var buffer = new ArrayBufferWriter<byte>();
        serializers.Get<Generated>().Serialize(new Generated(5), buffer);
        Assert.Equal("""{"number":5}""", Encoding.UTF8.GetString(buffer.WrittenSpan));
        NotSupportedException failure = Assert.Throws<NotSupportedException>(() => serializers.Get<StructWithReference>());
        Assert.Contains(nameof(StructWithReference), failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task SerialiserThatFails_IsAFailureThatFailSafeCovers()
    {
        var time = new ManualTimeProvider();
        var counting = new CountingSerializer();
        await using ServiceProvider provider = new ServiceCollection().AddSingleton<IHybridCacheSerializer<Plain>>(counting).BuildServiceProvider();
        await using ResilientCache cache = TestCache.New(time, parts: parts => parts with { Services = provider });
        await cache.GetAsync("key", _ => new ValueTask<Plain>(new Plain { Name = "old" }));
        time.Advance(TimeSpan.FromSeconds(61));
        counting.Fails = true;
        Assert.Equal("old", (await cache.GetAsync("key", _ => new ValueTask<Plain>(new Plain { Name = "new" }))).Name);
        Assert.Equal(1, cache.Snapshot().SourceFailures);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync("other", _ => new ValueTask<Plain>(new Plain())));
    }

    [Fact]
    public async Task Null_IsAValueInBothTiers()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache one = TestCache.New(shared: tier);
        await using ResilientCache two = TestCache.New(shared: tier);
        await one.SetAsync<Plain?>("key", null);
        foreach (ResilientCache cache in (ResilientCache[])[one, two])
        {
            Assert.Null(await cache.GetAsync<Plain?>("key", _ => throw new InvalidOperationException()));
            Assert.True(cache.TryGet<Plain?>("key") is { HasValue: true, IsKnownAbsent: false });
        }
    }

    public sealed class Plain
    {
        public string? Name { get; set; }
    }

    public sealed record PlainRecord(int Number);

    public sealed record Generated(int Number);

    [ImmutableObject(true)]
    public sealed class Marked(string name)
    {
        public string Name => name;
    }

    [ImmutableObject(true)]
    public sealed record MarkedRecord(int Number);

    [ImmutableObject(true)]
    public class MarkedButOpen;

    public readonly record struct PlainStruct(int Number, Guid Id);

    public readonly record struct StructWithReference(int[] Numbers);

    public sealed class Unserialisable(Func<int> number)
    {
        public Func<int> Number => number;
    }

    [JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
    [JsonSerializable(typeof(Generated))]
    private sealed partial class Context : JsonSerializerContext;

    private sealed class CountingSerializer : IHybridCacheSerializer<Plain>
    {
        public int Read;
        public int Written;

        public bool Fails { get; set; }

        public Plain Deserialize(ReadOnlySequence<byte> source)
        {
            Interlocked.Increment(ref Read);
            return new Plain { Name = Encoding.UTF8.GetString(source) };
        }

        public void Serialize(Plain value, IBufferWriter<byte> target)
        {
            Interlocked.Increment(ref Written);
            if (Fails)
            {
                throw new InvalidDataException("No bytes for this.");
            }

            Encoding.UTF8.GetBytes(value.Name ?? "", target);
        }
    }

    private sealed class RecordFactory : IHybridCacheSerializerFactory
    {
        public bool TryCreateSerializer<T>([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IHybridCacheSerializer<T>? serializer)
        {
            serializer = typeof(T) == typeof(PlainRecord) || typeof(T) == typeof(Plain) ? (IHybridCacheSerializer<T>)(object)new RecordSerializer() : null;
            return serializer is not null;
        }
    }

    private sealed class RecordSerializer : IHybridCacheSerializer<PlainRecord>
    {
        public PlainRecord Deserialize(ReadOnlySequence<byte> source) => new(source.FirstSpan[0]);

        public void Serialize(PlainRecord value, IBufferWriter<byte> target) => target.Write([(byte)value.Number]);
    }
}
