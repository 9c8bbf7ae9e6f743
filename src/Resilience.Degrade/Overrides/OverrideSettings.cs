using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>The settings of overrides, at <c>Resilience:Degrade:Overrides</c>.</summary>
public sealed class OverrideSettings : ISettings
{
    /// <summary>How long an override holds when the operator names no time; 30 min by default, 1 s to 24 h.</summary>
    [TimeRange("00:00:01", "1.00:00:00")]
    public TimeSpan DefaultTtl { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>How far the clock of whoever issued a shared command may be away; 60 s by default, 1 s to 10 min.</summary>
    [TimeRange("00:00:01", "00:10:00")]
    public TimeSpan MaxSkew { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// The key, in base64 and of 32 bytes or more, with which shared commands are signed and checked; read at start. Without a key, commands from a file or
    /// from Redis are not accepted.
    /// </summary>
    [Secret]
    public string? SigningKey { get; set; }

    /// <summary>
    /// A file on this node that keeps the overrides that were last known, signed, for a start while the shared store is away; its directory must be there.
    /// None by default; read at start.
    /// </summary>
    public string? LastKnownGood { get; set; }

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (!string.IsNullOrEmpty(SigningKey) && Key() is null)
        {
            problems.Add(nameof(SigningKey), null, "must be base64 of 32 bytes or more");
        }
    }

    internal byte[]? Key()
    {
        byte[] key = new byte[(SigningKey?.Length ?? 0) + 4];
        return SigningKey is not null && Convert.TryFromBase64String(SigningKey, key, out int length) && length >= 32 ? key[..length] : null;
    }
}
