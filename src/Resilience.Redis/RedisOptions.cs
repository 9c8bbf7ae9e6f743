using System.ComponentModel.DataAnnotations;
using Resilience.Settings;
using StackExchange.Redis;

namespace Resilience.Redis;

/// <summary>The settings of the connection to Redis, section <c>Resilience:Redis</c>. All are read at start.</summary>
public sealed class RedisOptions : ISettings
{
    /// <summary>
    /// The servers and how to reach them, in StackExchange.Redis' form, such as <c>127.0.0.1:6379,password=…</c>. Without it there is no
    /// Redis, and caches are local.
    /// </summary>
    /// <value>Default: none. A secret: never in a log or an error.</value>
    [Secret]
    public string? Configuration { get; set; }

    /// <summary>What goes before every key and channel of this deployment. May not contain braces.</summary>
    /// <value>Default: none.</value>
    public string KeyPrefix { get; set; } = "";

    /// <summary>How long an attempt to connect may take.</summary>
    /// <value>Default: 2 s. Range: 50 ms to 1 min.</value>
    [TimeRange("00:00:00.050", "00:01:00")]
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long the client gives a command before it calls it lost; the caches' own timeouts are shorter.</summary>
    /// <value>Default: 5 s. Range: 50 ms to 1 min.</value>
    [TimeRange("00:00:00.050", "00:01:00")]
    public TimeSpan CommandTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often an idle connection is proved alive.</summary>
    /// <value>Default: 30 s. Range: 1 s to 10 min.</value>
    [TimeRange("00:00:01", "00:10:00")]
    public TimeSpan KeepAlive { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long Redis may give no answer through a connection that is used before a second one is made beside it. If that one is answered, it takes the
    /// place of the first. It is for what the client does not notice or mend by itself: a peer that vanished without a word, a client that got stuck.
    /// </summary>
    /// <value>Default: 10 s. Range: 1 s to 10 min.</value>
    [TimeRange("00:00:01", "00:10:00")]
    public TimeSpan ReconnectAfter { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the versions of tags and the numbers of channels are kept after their last use. Losing one costs loads, never a stale value.</summary>
    /// <value>Default: 30 days. Range: 1 h to 365 days.</value>
    [TimeRange("01:00:00", "365.00:00:00")]
    public TimeSpan VersionLifetime { get; set; } = TimeSpan.FromDays(30);

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (KeyPrefix.AsSpan().IndexOfAny('{', '}') >= 0)
        {
            problems.Add(nameof(KeyPrefix), KeyPrefix, "must not contain braces: they decide on which node of a cluster a key lives");
        }

        if (!string.IsNullOrWhiteSpace(Configuration))
        {
            try
            {
                ConfigurationOptions.Parse(Configuration);
            }
            catch (Exception)
            {
                // Neither the text nor what the client says of it: both may hold the secret.
                problems.Add(nameof(Configuration), null, "cannot be read: it must be of StackExchange.Redis' form, such as host:6379,password=…,ssl=true");
            }
        }
    }
}
