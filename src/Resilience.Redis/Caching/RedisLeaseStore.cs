using Resilience.Caching.Shared;
using StackExchange.Redis;

namespace Resilience.Redis.Caching;

/// <summary>Leases in Redis, on one server: they save work, and the compare-and-set of writes is what keeps values right.</summary>
internal sealed class RedisLeaseStore(RedisConnection connection) : ILeaseStore
{
    private static readonly long FenceLifetime = (long)TimeSpan.FromDays(1).TotalMilliseconds;
    private readonly RedisKeys _keys = new(connection.Options.KeyPrefix);

    public async Task<long> TryAcquireAsync(string key, string token, TimeSpan duration, CancellationToken cancellationToken) =>
        await RunAsync(RedisScript.Acquire, [_keys.Lease(key), _keys.Fence(key)], [token, (long)duration.TotalMilliseconds, FenceLifetime]).ConfigureAwait(false);

    public async Task<bool> TryRenewAsync(string key, string token, TimeSpan duration, CancellationToken cancellationToken) =>
        await RunAsync(RedisScript.Renew, [_keys.Lease(key)], [token, (long)duration.TotalMilliseconds]).ConfigureAwait(false) == 1;

    public async Task ReleaseAsync(string key, string token, CancellationToken cancellationToken) =>
        await RunAsync(RedisScript.Release, [_keys.Lease(key)], [token]).ConfigureAwait(false);

    private async Task<long> RunAsync(string script, RedisKey[] keys, RedisValue[] arguments)
    {
        IDatabase database = (await connection.GetAsync().ConfigureAwait(false)).GetDatabase();
        return (long)await database.ScriptEvaluateAsync(script, keys, arguments, CommandFlags.None).OnPool();
    }
}
