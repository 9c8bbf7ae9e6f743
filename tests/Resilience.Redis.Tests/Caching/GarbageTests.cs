using System.Text;
using Resilience.TestKit;
using StackExchange.Redis;

namespace Resilience.Redis.Tests.Caching;

/// <summary>Somebody else writes into the kit's keys and channels: no value is ever a wrong one, no caller sees an exception, and afterwards all is well.</summary>
public sealed class GarbageTests(SharedRedis shared)
{
    private const int Rounds = 150;

    private readonly string _prefix = $"{Guid.NewGuid():N}:";

    [Fact]
    public async Task Get_KeysAndChannelsOverwrittenAtRandom_GivesTheSourcesValue()
    {
        RedisServer server = await shared.GetAsync();
        await using RedisNode writer = await RedisNode.StartAsync(server.Endpoint, _prefix);
        await using RedisNode reader = await RedisNode.StartAsync(server.Endpoint, _prefix, static options => options.LocalExpiration = TimeSpan.FromMilliseconds(1));
        await writer.UntilUpAsync();
        await reader.UntilUpAsync();
        using ConnectionMultiplexer multiplexer = await ConnectionMultiplexer.ConnectAsync($"{server.Endpoint},syncTimeout=30000").OnPool();
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        for (int round = 0; round < Rounds; round++)
        {
            string key = $"key{round % 5}";
            Assert.Equal(key, await writer.GetAsync(key, () => key, ["tag"]));
            await DamageAsync(multiplexer, random);
            foreach (RedisNode node in new[] { writer, reader })
            {
                string got = await node.GetAsync(key, () => key, ["tag"]);
                Assert.True(got == key, $"seed {seed}, round {round}: '{got}' instead of '{key}'");
            }

            if (round % 10 == 0)
            {
                await writer.Cache.RemoveAsync(key, TestContext.Current.CancellationToken);
                await writer.Cache.RemoveByTagAsync("tag", TestContext.Current.CancellationToken);
            }
        }

        await Task.Yield();
        foreach (RedisKey key in Keys(multiplexer))
        {
            await multiplexer.GetDatabase().KeyDeleteAsync(key).OnPool();
        }

        await Eventually.TrueAsync(() => writer.Cache.Upkeep.Link!.IsUp && reader.Cache.Upkeep.Link!.IsUp, "both nodes hear again");
        await WellAgainAsync(writer, reader);
    }

    /// <summary>What one node loads, the other has from Redis again.</summary>
    private static async Task WellAgainAsync(RedisNode writer, RedisNode reader)
    {
        long before = reader.Cache.Snapshot().SharedHits;
        long end = Environment.TickCount64 + 60_000;
        for (int i = 0; reader.Cache.Snapshot().SharedHits == before; i++)
        {
            Assert.True(Environment.TickCount64 < end, "after 60 s nothing comes from Redis");
            Assert.Equal("value", await writer.GetAsync($"fresh{i}", static () => "value"));
            await writer.Cache.Writer.DrainAsync(Eventually.Patience);
            Assert.Equal("value", await reader.GetAsync($"fresh{i}", static () => "value"));
        }
    }

    /// <summary>Damages what is there. Each await goes on on the pool: the listing of keys blocks, which the client's thread must not.</summary>
    private async Task DamageAsync(ConnectionMultiplexer multiplexer, Random random)
    {
        await Task.Yield(); // off the client's thread, on which whoever connected may still be
        IDatabase database = multiplexer.GetDatabase();
        foreach (RedisKey key in Keys(multiplexer))
        {
            byte[] garbage = new byte[random.Next(60)];
            random.NextBytes(garbage);
            switch (random.Next(6))
            {
                case 0:
                    await database.StringSetAsync(key, garbage).OnPool();
                    break;
                case 1 when await database.KeyTypeAsync(key).OnPool() == RedisType.String && (byte[]?)await database.StringGetAsync(key).OnPool() is { Length: > 0 } value:
                    value[random.Next(value.Length)] ^= (byte)(1 << random.Next(8));
                    await database.StringSetAsync(key, value).OnPool();
                    break;
                case 2:
                    // In one step: a node may write the key in between.
                    await database.ScriptEvaluateAsync("redis.call('DEL', KEYS[1]) return redis.call('LPUSH', KEYS[1], ARGV[1])", [key], [garbage], CommandFlags.None).OnPool();
                    break;
                case 3:
                    await database.StringSetAsync(key, "-1 99999999999999999999").OnPool();
                    break;
            }
        }

        byte[] noise = new byte[random.Next(40)];
        random.NextBytes(noise);
        foreach (string channel in Channels(multiplexer))
        {
            await database.PublishAsync(new RedisChannel(channel, RedisChannel.PatternMode.Literal), random.Next(2) == 0 ? noise : [.. Encoding.ASCII.GetBytes($"{random.Next(100)}:"), .. noise]).OnPool();
        }
    }

    private List<RedisKey> Keys(ConnectionMultiplexer multiplexer) => [.. multiplexer.GetServer(multiplexer.GetEndPoints()[0]).Keys(pattern: _prefix + "*")];

    private List<string> Channels(ConnectionMultiplexer multiplexer) =>
        [.. multiplexer.GetServer(multiplexer.GetEndPoints()[0]).SubscriptionChannels(new RedisChannel(_prefix + "*", RedisChannel.PatternMode.Pattern)).Select(static channel => (string)channel!)];
}
