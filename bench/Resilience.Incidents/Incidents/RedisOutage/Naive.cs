using System.Text.Json;
using Microsoft.Extensions.Caching.Memory;
using StackExchange.Redis;

namespace Resilience.Incidents.Incidents.RedisOutage;

/// <summary>
/// Two tiers by hand: two seconds in memory, ten minutes in Redis, then the database. Redis calls have a timeout, failures are caught, and
/// the database answers in its place. A change deletes the entry in both tiers.
/// </summary>
/// <remarks>
/// Why it fails: the timeout is paid by every request, again and again, because nothing remembers that the last hundred calls failed; an
/// outage of the cache becomes an outage of the service. And the deletions of that time are lost: when Redis is back it still has, and
/// serves, what was changed meanwhile.
/// </remarks>
internal sealed class Naive(Stock stock, IConnectionMultiplexer redis) : INode, IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(1); // the client's own default
    private readonly MemoryCache _local = new(new MemoryCacheOptions());

    public async ValueTask<Level> GetAsync(int item, CancellationToken cancellationToken)
    {
        string key = Stock.Key(item);
        if (_local.TryGetValue(key, out Level? level))
        {
            return level!;
        }

        level = await ReadSharedAsync(key);
        if (level is null)
        {
            level = await stock.ReadAsync(item, cancellationToken);
            await TryAsync(redis.GetDatabase().StringSetAsync(key, JsonSerializer.Serialize(level), TimeSpan.FromMinutes(10)));
        }

        _local.Set(key, level, TimeSpan.FromSeconds(2));
        return level;
    }

    public async ValueTask<int> ChangeAsync(int item, CancellationToken cancellationToken)
    {
        int version = await stock.ChangeAsync(item, cancellationToken);
        await TryAsync(redis.GetDatabase().KeyDeleteAsync(Stock.Key(item)));
        _local.Remove(Stock.Key(item));
        return version;
    }

    public void Dispose() => _local.Dispose();

    private async Task<Level?> ReadSharedAsync(string key)
    {
        try
        {
            RedisValue value = await redis.GetDatabase().StringGetAsync(key).WaitAsync(Timeout);
            return value.HasValue ? JsonSerializer.Deserialize<Level>((string)value!) : null;
        }
        catch (Exception exception) when (exception is RedisException or TimeoutException)
        {
            return null; // the database will do
        }
    }

    private static async Task TryAsync(Task call)
    {
        try
        {
            await call.WaitAsync(Timeout);
        }
        catch (Exception exception) when (exception is RedisException or TimeoutException)
        {
            // "a cache must not fail a request"
        }
    }
}
