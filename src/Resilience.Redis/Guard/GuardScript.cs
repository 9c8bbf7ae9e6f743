namespace Resilience.Redis.Guard;

/// <summary>
/// The Lua scripts of the guard's journal. KEYS: head, journal, nodes, all in one hash slot.
/// </summary>
/// <remarks>
/// The head is a hash of epoch, created (the server's milliseconds), first and end; the journal a list whose elements stand at the positions
/// first + 1 to end, each 8 bytes of hash and the 13 digits of the millisecond at which it was appended; nodes a hash of node to
/// <c>position expires since token</c>.
/// </remarks>
internal static class GuardScript
{
    private const string Now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n";

    /// <summary>ARGV: epoch of a new journal. Returns epoch, age, first, end.</summary>
    public const string Open = Now +
        """
        if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
          redis.call('DEL', KEYS[2], KEYS[3])
          redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
          redis.call('HSET', KEYS[1], 'created', string.format('%.0f', now))
          redis.call('HSET', KEYS[1], 'first', 0)
          redis.call('HSET', KEYS[1], 'end', 0)
        end
        local h = redis.call('HMGET', KEYS[1], 'epoch', 'created', 'first', 'end')
        return {h[1], now - tonumber(h[2]), tonumber(h[3]), tonumber(h[4])}
        """;

    /// <summary>ARGV: epoch, retention in milliseconds, channel, hashes. Returns the end, or -1.</summary>
    public const string Append = Now +
        """
        if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return -1 end
        local stamp = string.format('%013.0f', now)
        for i = 4, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i] .. stamp) end
        local last = redis.call('HINCRBY', KEYS[1], 'end', #ARGV - 3)
        local old = 0
        for _, e in ipairs(redis.call('LRANGE', KEYS[2], 0, 2 * (#ARGV - 3) + 8)) do
          if tonumber(string.sub(e, 9)) + tonumber(ARGV[2]) >= now then break end
          old = old + 1
        end
        if old > 0 then
          redis.call('LTRIM', KEYS[2], old, -1)
          redis.call('HINCRBY', KEYS[1], 'first', old)
        end
        redis.call('PUBLISH', ARGV[3], last)
        return last
        """;

    /// <summary>
    /// ARGV: epoch, position, the element that stood at it or nothing, lease in milliseconds or 0, node, its new token, its last token, most
    /// elements. Returns the end and what follows the position; -1 when the journal is not what it was, -2 when it has moved on.
    /// </summary>
    public const string Read = Now +
        """
        local h = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'end')
        if h[1] ~= ARGV[1] then return {-1} end
        local first, last, at = tonumber(h[2]), tonumber(h[3]), tonumber(ARGV[2])
        if redis.call('LLEN', KEYS[2]) ~= last - first or at > last then return {-1} end
        if at < first then return {-2} end
        if ARGV[3] ~= '' and at > first and redis.call('LINDEX', KEYS[2], at - first - 1) ~= ARGV[3] then return {-1} end
        local lease = tonumber(ARGV[4])
        if lease > 0 then
          local since = string.format('%.0f', now)
          local own = redis.call('HGET', KEYS[3], ARGV[5])
          if own then
            local before, token = string.match(own, '^%d+ %d+ (%d+) (%d+)$')
            if token == ARGV[7] then since = before end
          end
          redis.call('HSET', KEYS[3], ARGV[5], string.format('%.0f %.0f ', at, now + lease) .. since .. ' ' .. ARGV[6])
        end
        local found = redis.call('LRANGE', KEYS[2], at - first, at - first + tonumber(ARGV[8]) - 1)
        table.insert(found, 1, last)
        return found
        """;

    /// <summary>
    /// ARGV: epoch, position, lease in milliseconds, node. Returns 1 when every other node has confirmed the position. A node that is
    /// silent beyond its lease still counts for ten seconds, so that a step of the server's clock cannot hide one that may still refuse.
    /// </summary>
    public const string Confirmed = Now +
        """
        if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
        local nodes = redis.call('HGETALL', KEYS[3])
        local all, known = 1, false
        for i = 1, #nodes, 2 do
          local at, expires, since = string.match(nodes[i + 1], '^(%d+) (%d+) (%d+) ')
          if nodes[i] == ARGV[4] then
            known = now - tonumber(since) >= tonumber(ARGV[3])
          elseif tonumber(at) < tonumber(ARGV[2]) then
            if tonumber(expires) + 10000 < now then redis.call('HDEL', KEYS[3], nodes[i]) else all = 0 end
          end
        end
        return known and all or 0
        """;

    /// <summary>ARGV: epoch. Ends a journal.</summary>
    public const string Abandon =
        """
        if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) end
        return 1
        """;
}
