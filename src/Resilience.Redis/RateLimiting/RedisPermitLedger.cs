using System.Globalization;
using StackExchange.Redis;

namespace Resilience.Redis.RateLimiting;

/// <summary>The fleet's permits in Redis, by the server's clock; one object is one node.</summary>
internal sealed class RedisPermitLedger(RedisConnection connection, string name) : IPermitLedger
{
    /// <summary>
    /// The generic cell rate algorithm (ITU-T I.371), which needs one number: the theoretical arrival time, at which the last permit given would have
    /// been earned. It may lie ahead of now by as much as the burst is worth. KEYS: arrival time in microseconds, nodes by when they last took. ARGV:
    /// permits a second, burst, least, most, node. Returns permits, microseconds to wait, nodes.
    /// </summary>
    /// <remarks>An arrival time that lies further ahead than the burst allows (the rate was raised, the server's clock went back) is an empty bucket, no more.</remarks>
    private const string Take =
        """
        local t = redis.call('TIME')
        local now = t[1] * 1000000 + t[2]
        local interval = 1000000 / tonumber(ARGV[1])
        local room = interval * tonumber(ARGV[2])
        local least, most = tonumber(ARGV[3]), tonumber(ARGV[4])
        local at = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now), now + room)
        local left = math.floor((now + room - at) / interval + 0.000001)
        local given = 0
        if left >= least then
          given = math.min(left, most)
          at = at + given * interval
          redis.call('SET', KEYS[1], string.format('%.3f', at), 'PX', string.format('%.0f', math.ceil((at - now) / 1000) + 1000))
          least = 1
        end
        redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[5])
        redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('(%.0f', now - 30000000))
        redis.call('PEXPIRE', KEYS[2], 30000)
        return {given, math.ceil(math.max(at + least * interval - room - now, 0)), redis.call('ZCARD', KEYS[2])}
        """;

    private readonly RedisKey[] _keys = [$"{connection.Options.KeyPrefix}{{limit:{name}}}:tat", $"{connection.Options.KeyPrefix}{{limit:{name}}}:nodes"];
    private readonly string _node = Guid.NewGuid().ToString("N");

    public async Task<PermitGrant> TakeAsync(double permitsPerSecond, int burst, int least, int most)
    {
        IDatabase database = (await connection.GetAsync().ConfigureAwait(false)).GetDatabase();
        var answer = (RedisResult[]?)await database.ScriptEvaluateAsync(
            Take,
            _keys,
            [permitsPerSecond.ToString("R", CultureInfo.InvariantCulture), burst, least, most, _node],
            CommandFlags.None).OnPool();
        return new PermitGrant((int)answer![0], TimeSpan.FromMicroseconds((long)answer[1]), (int)answer[2]);
    }
}
