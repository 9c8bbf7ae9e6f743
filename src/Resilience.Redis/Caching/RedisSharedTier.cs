using System.Buffers.Binary;
using System.Globalization;
using Resilience.Caching.Shared;
using StackExchange.Redis;

namespace Resilience.Redis.Caching;

/// <summary>The shared tier in Redis: one string per value, written by one SET or one script.</summary>
internal sealed class RedisSharedTier(RedisConnection connection) : ISharedTier
{
    /// <summary>Up to here the numbers of Lua are exact. Versions begin at the clock in microseconds, far below; what is above is none.</summary>
    private const long MaxVersion = 9_000_000_000_000_000;

    private readonly RedisKeys _keys = new(connection.Options.KeyPrefix);
    private readonly long _versionLifetime = (long)connection.Options.VersionLifetime.TotalMilliseconds;

    public bool IsAtomic => true;

    public async Task<byte[]?> ReadAsync(string key, CancellationToken cancellationToken)
    {
        IDatabase database = await DatabaseAsync().ConfigureAwait(false);
        try
        {
            return await database.StringGetAsync(_keys.Value(key), CommandFlags.None).OnPool();
        }
        catch (RedisServerException exception) when (exception.Message.StartsWith("WRONGTYPE", StringComparison.Ordinal))
        {
            return []; // Something of another type stands there: no value, but no failure of the tier either.
        }
    }

    public async Task<byte[]?[]> ReadManyAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken)
    {
        RedisKey[] named = new RedisKey[keys.Count];
        for (int i = 0; i < named.Length; i++)
        {
            named[i] = _keys.Value(keys[i]);
        }

        RedisValue[] values = await ReadAsync(named).ConfigureAwait(false);
        return Array.ConvertAll(values, value => (byte[]?)value);
    }

    public async Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken)
    {
        IDatabase database = await DatabaseAsync().ConfigureAwait(false);
        RedisKey key = _keys.Value(write.Key);
        if (!write.IsConditional)
        {
            return await database.StringSetAsync(key, write.Value, write.TimeToLive, When.Always, CommandFlags.None).OnPool();
        }

        RedisResult written = await database.ScriptEvaluateAsync(
            RedisScript.CompareAndSet,
            [key, _keys.Fence(write.Key)],
            [Version(write.Expected), write.Value, Milliseconds(write.TimeToLive), write.Fence],
            CommandFlags.None).OnPool();
        return (long)written == 1;
    }

    public async Task ExpireAsync(string key, long version, TimeSpan tombstoneLifetime, CancellationToken cancellationToken)
    {
        IDatabase database = await DatabaseAsync().ConfigureAwait(false);
        byte[] expired = new byte[SharedEnvelope.Size];
        byte[] tombstone = new byte[SharedEnvelope.Size];
        SharedEnvelope.Write(expired, version, SharedEnvelope.Expired);
        SharedEnvelope.Write(tombstone, version, SharedEnvelope.Tombstone);
        await database.ScriptEvaluateAsync(RedisScript.Expire, [_keys.Value(key)], [expired, tombstone, Milliseconds(tombstoneLifetime)], CommandFlags.None).OnPool();
    }

    public async Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken)
    {
        RedisKey[] keys = new RedisKey[names.Count];
        for (int i = 0; i < keys.Length; i++)
        {
            keys[i] = _keys.Version(names[i]);
        }

        RedisValue[] stored = await ReadAsync(keys).ConfigureAwait(false);
        var versions = new TagVersion[keys.Length];
        List<Task>? raising = null;
        IDatabase database = await DatabaseAsync().ConfigureAwait(false);
        for (int i = 0; i < keys.Length; i++)
        {
            if (TryParse(stored[i], out versions[i]) && TagVersion.Max(versions[i], floors[i]) == versions[i])
            {
                // Kept from its last use on: a version that lapsed in use would take all that was made under it along, in one moment and on every node.
                database.ExecuteAsync("PEXPIRE", [keys[i], _versionLifetime], CommandFlags.FireAndForget).Observe();
                continue;
            }

            (raising ??= []).Add(CreateAsync(database, keys[i], floors[i], i));
        }

        if (raising is not null)
        {
            await Task.WhenAll(raising).ConfigureAwait(false);
        }

        return versions;

        async Task CreateAsync(IDatabase target, RedisKey key, TagVersion floor, int i)
        {
            RedisResult result = await target.ScriptEvaluateAsync(RedisScript.ReadVersion, [key], [floor.Latest, floor.Removed, _versionLifetime], CommandFlags.None).OnPool();
            versions[i] = Parse(result);
        }
    }

    public async Task<TagVersion> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor, CancellationToken cancellationToken)
    {
        IDatabase database = await DatabaseAsync().ConfigureAwait(false);
        RedisResult result = await database.ScriptEvaluateAsync(
            RedisScript.RaiseVersion,
            [_keys.Version(name)],
            [floor.Latest, floor.Removed, _versionLifetime, isRemoval ? 1 : 0],
            CommandFlags.None).OnPool();
        return Parse(result);
    }

    private static RedisValue Version(long version)
    {
        if (version == 0)
        {
            return RedisValue.EmptyString;
        }

        byte[] bytes = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, version);
        return bytes;
    }

    private static long Milliseconds(TimeSpan span) => Math.Max(1, (long)span.TotalMilliseconds);

    private static TagVersion Parse(RedisResult result) =>
        TryParse((RedisValue)result, out TagVersion version) ? version : throw new InvalidDataException("A version in Redis is not two numbers: something else writes under this KeyPrefix.");

    private static bool TryParse(RedisValue value, out TagVersion version)
    {
        version = default;
        if (value.IsNull)
        {
            return false;
        }

        string text = (string)value!;
        int space = text.IndexOf(' ', StringComparison.Ordinal);
        if (space < 0
            || !long.TryParse(text.AsSpan(0, space), NumberStyles.None, CultureInfo.InvariantCulture, out long latest)
            || !long.TryParse(text.AsSpan(space + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long removed)
            || latest >= MaxVersion || removed > latest)
        {
            return false;
        }

        version = new TagVersion(latest, removed);
        return true;
    }

    private async Task<IDatabase> DatabaseAsync() => (await connection.GetAsync().ConfigureAwait(false)).GetDatabase();

    /// <summary>One MGET; in a cluster one per slot, all under way at once.</summary>
    private async Task<RedisValue[]> ReadAsync(RedisKey[] keys)
    {
        IConnectionMultiplexer multiplexer = await connection.GetAsync().ConfigureAwait(false);
        IDatabase database = multiplexer.GetDatabase();
        if (keys.Length == 1 || !IsCluster(multiplexer))
        {
            return await database.StringGetAsync(keys, CommandFlags.None).OnPool();
        }

        var values = new RedisValue[keys.Length];
        await Task.WhenAll(Enumerable.Range(0, keys.Length).GroupBy(i => RedisKeys.Slot(keys[i])).Select(async slot =>
        {
            int[] places = [.. slot];
            RedisValue[] part = await database.StringGetAsync(Array.ConvertAll(places, i => keys[i]), CommandFlags.None).OnPool();
            for (int i = 0; i < places.Length; i++)
            {
                values[places[i]] = part[i];
            }
        })).ConfigureAwait(false);
        return values;
    }

    private static bool IsCluster(IConnectionMultiplexer multiplexer)
    {
        foreach (System.Net.EndPoint endPoint in multiplexer.GetEndPoints(configuredOnly: false))
        {
            IServer server = multiplexer.GetServer(endPoint);
            if (server.IsConnected)
            {
                return server.ServerType == ServerType.Cluster;
            }
        }

        return false;
    }
}
