using StackExchange.Redis;

namespace Resilience.Redis;

/// <summary>How names become Redis keys, and which keys live together in a cluster.</summary>
internal sealed class RedisKeys(string prefix)
{
    private const int Slots = 16384;
    private static readonly ushort[] Crc = MakeCrc();

    /// <summary>A value: only the part in braces decides on its slot, so that its lease and fence live beside it.</summary>
    public RedisKey Value(string key) => $"{prefix}{{{key}}}";

    public RedisKey Lease(string key) => $"{prefix}{{{key}}}:lease";

    public RedisKey Fence(string key) => $"{prefix}{{{key}}}:fence";

    /// <summary>A version: no braces around it, so that no value can have its name.</summary>
    public RedisKey Version(string name) => $"{prefix}version:{name}";

    public string Channel(string name) => $"{prefix}channel:{name}";

    public RedisKey Counter(string channel) => $"{prefix}counter:{channel}";

    /// <summary>The slot of a key, as the cluster specification has it: CRC16 of the part between the first brace and the next closing one.</summary>
    public static int Slot(RedisKey key)
    {
        ReadOnlySpan<byte> bytes = (byte[])key!;
        int open = bytes.IndexOf((byte)'{');
        if (open >= 0)
        {
            int length = bytes[(open + 1)..].IndexOf((byte)'}');
            if (length > 0)
            {
                bytes = bytes.Slice(open + 1, length);
            }
        }

        ushort crc = 0;
        foreach (byte value in bytes)
        {
            crc = (ushort)((crc << 8) ^ Crc[(crc >> 8) ^ value]);
        }

        return crc % Slots;
    }

    private static ushort[] MakeCrc()
    {
        // CRC-16/XMODEM: polynomial 0x1021.
        var table = new ushort[256];
        for (int i = 0; i < table.Length; i++)
        {
            ushort crc = (ushort)(i << 8);
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (ushort)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
            }

            table[i] = crc;
        }

        return table;
    }
}
