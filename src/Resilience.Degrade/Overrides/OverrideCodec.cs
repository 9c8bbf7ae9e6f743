using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Resilience.Degrade;

/// <summary>
/// Writes commands as one line of JSON with an HMAC-SHA256 over all that they say, and reads only what carries the right one. For stores whose
/// content others could write: a file, Redis.
/// </summary>
/// <remarks>Immutable and thread-safe.</remarks>
public sealed class OverrideCodec
{
    private readonly byte[] _key;

    /// <summary>Makes a codec.</summary>
    /// <param name="key">The key, 32 bytes or more; copied.</param>
    /// <exception cref="ArgumentException">The key is shorter.</exception>
    public OverrideCodec(ReadOnlySpan<byte> key)
    {
        if (key.Length < 32)
        {
            throw new ArgumentException($"A key for signing overrides needs 32 bytes or more, this one has {key.Length}.", nameof(key));
        }

        _key = key.ToArray();
    }

    /// <summary>Writes a command with its signature.</summary>
    /// <param name="command">The command.</param>
    public string Write(OverrideCommand command)
    {
        ArgumentNullException.ThrowIfNull(command);
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("feature", command.Feature);
            json.WriteString("state", command.State?.ToString());
            json.WriteString("reason", command.Reason);
            json.WriteString("who", command.Who);
            json.WriteNumber("issued", command.IssuedAt.ToUnixTimeMilliseconds());
            json.WriteNumber("ttl", (long)command.Ttl.TotalMilliseconds);
            json.WriteNumber("revision", command.Revision);
            json.WriteString("nonce", command.Nonce);
            json.WriteString("hmac", Convert.ToBase64String(Sign(command)));
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>Reads a command.</summary>
    /// <param name="text">One line of JSON.</param>
    /// <param name="problem">What is wrong with it when it cannot be read; never its content.</param>
    /// <returns>The command, or <see langword="null"/> when it is malformed or its signature is not right.</returns>
    public OverrideCommand? TryRead(string text, out string? problem)
    {
        ArgumentNullException.ThrowIfNull(text);
        OverrideCommand command;
        byte[] signature;
        try
        {
            using var json = JsonDocument.Parse(text);
            JsonElement root = json.RootElement;
            string? state = root.GetProperty("state").GetString();
            command = new OverrideCommand
            {
                Feature = root.GetProperty("feature").GetString() ?? "",
                State = state is null ? null : Enum.Parse<FeatureState>(state),
                Reason = root.GetProperty("reason").GetString() ?? "",
                Who = root.GetProperty("who").GetString() ?? "",
                IssuedAt = DateTimeOffset.FromUnixTimeMilliseconds(root.GetProperty("issued").GetInt64()),
                Ttl = TimeSpan.FromMilliseconds(root.GetProperty("ttl").GetInt64()),
                Revision = root.GetProperty("revision").GetInt64(),
                Nonce = root.GetProperty("nonce").GetString() ?? "",
            };
            signature = root.TryGetProperty("hmac", out JsonElement hmac) && hmac.TryGetBytesFromBase64(out byte[]? bytes) ? bytes : [];
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or FormatException or InvalidOperationException or ArgumentException or OverflowException)
        {
            problem = "it is malformed";
            return null;
        }

        if (!CryptographicOperations.FixedTimeEquals(Sign(command), signature))
        {
            problem = signature.Length == 0 ? "it is not signed" : "its signature is not right";
            return null;
        }

        problem = null;
        return command;
    }

    /// <summary>Lengths go before the texts, so that no two commands sign the same bytes.</summary>
    private byte[] Sign(OverrideCommand command)
    {
        var text = new StringBuilder();
        foreach (string part in (ReadOnlySpan<string>)[command.Feature, command.State?.ToString() ?? "", command.Reason, command.Who, command.Nonce])
        {
            text.Append(CultureInfo.InvariantCulture, $"{part.Length}:{part};");
        }

        text.Append(CultureInfo.InvariantCulture, $"{command.IssuedAt.ToUnixTimeMilliseconds()};{(long)command.Ttl.TotalMilliseconds};{command.Revision}");
        return HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(text.ToString()));
    }
}
