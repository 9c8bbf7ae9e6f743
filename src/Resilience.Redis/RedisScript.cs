namespace Resilience.Redis;

/// <summary>The Lua scripts. Each touches only keys of one hash slot, all of them declared.</summary>
/// <remarks>What stands under a key and is nothing of ours, of another type or no such text, counts as nothing and is written over: it heals.</remarks>
internal static class RedisScript
{
    /// <summary>Writes a value while the stored version is the expected one and no newer lease was given. KEYS: value, fence. ARGV: version, value, milliseconds, fence.</summary>
    public const string CompareAndSet =
        """
        local head = redis.pcall('GETRANGE', KEYS[1], 0, 8)
        head = type(head) == 'string' and #head == 9 and string.sub(head, 1, 8) or ''
        if head ~= ARGV[1] then return 0 end
        if ARGV[4] ~= '0' and redis.pcall('GET', KEYS[2]) ~= ARGV[4] then return 0 end
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        return 1
        """;

    /// <summary>Marks a value as expired, or leaves a tombstone where there is none. KEYS: value. ARGV: envelope of an expired value, tombstone, milliseconds.</summary>
    public const string Expire =
        """
        local length = redis.pcall('STRLEN', KEYS[1])
        if type(length) == 'number' and length > 9 then
          redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
        else
          redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        end
        return 1
        """;

    /// <summary>
    /// A version as it is stored, raised to what the caller knows. One that is missing begins at the server's clock, in microseconds, so that
    /// it comes back higher than it was, whatever was lost.
    /// </summary>
    private const string KnownVersion =
        """
        local stored = redis.pcall('GET', KEYS[1])
        local known, removed = tonumber(ARGV[1]), tonumber(ARGV[2])
        local l, r, a, b
        if type(stored) == 'string' then a, b = string.match(stored, '^(%d+) (%d+)$') end
        local there = a and tonumber(a) < 9e15 and tonumber(b) <= tonumber(a)
        if there then
          l, r = math.max(tonumber(a), known), math.max(tonumber(b), removed)
        else
          local t = redis.call('TIME')
          l = math.max(t[1] * 1000000 + t[2], known + 1)
          r = l
        end

        """;

    private const string KeepVersion =
        """
        local value = string.format('%.0f %.0f', l, r)
        redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
        return value
        """;

    /// <summary>Reads a version, raising it to what the caller knows. KEYS: version. ARGV: known latest, known removed, milliseconds.</summary>
    public const string ReadVersion = KnownVersion + KeepVersion;

    /// <summary>Raises a version; one that was missing is high enough. KEYS: version. ARGV: known latest, known removed, milliseconds, 1 for a removal.</summary>
    public const string RaiseVersion = KnownVersion +
        """
        if there then
          l = l + 1
          if ARGV[4] == '1' then r = l end
        end

        """ + KeepVersion;

    /// <summary>Sends a message with the channel's next number in front. KEYS: counter. ARGV: channel, body, milliseconds.</summary>
    public const string Publish =
        """
        local n = redis.pcall('INCR', KEYS[1])
        if type(n) ~= 'number' or n == 1 then
          local t = redis.call('TIME')
          n = t[1] * 1000000 + t[2]
          redis.call('SET', KEYS[1], string.format('%.0f', n))
        end
        redis.call('PEXPIRE', KEYS[1], ARGV[3])
        redis.call('PUBLISH', ARGV[1], string.format('%.0f', n) .. ':' .. ARGV[2])
        return n
        """;

    /// <summary>
    /// Takes a lease and its number; what stands there without an end is no lease. KEYS: lease, fence. ARGV: token, milliseconds,
    /// milliseconds of the fence.
    /// </summary>
    public const string Acquire =
        """
        if redis.call('PTTL', KEYS[1]) >= 0 then return 0 end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        local n = redis.pcall('INCR', KEYS[2])
        if type(n) == 'number' and n > 0 and n < 9e15 then
          redis.call('PEXPIRE', KEYS[2], ARGV[3])
          return n
        end
        local t = redis.call('TIME')
        n = t[1] * 1000000 + t[2]
        redis.call('SET', KEYS[2], string.format('%.0f', n), 'PX', ARGV[3])
        return n
        """;

    /// <summary>Renews a lease. KEYS: lease. ARGV: token, milliseconds.</summary>
    public const string Renew =
        """
        if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return 0
        """;

    /// <summary>Gives a lease back. KEYS: lease. ARGV: token.</summary>
    public const string Release =
        """
        if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
        return 0
        """;
}
