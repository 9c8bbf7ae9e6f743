using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Context;

/// <summary>What a <see cref="BackgroundWorkQueue"/> does when it is full.</summary>
public enum QueueFullMode
{
    /// <summary>It refuses what is new.</summary>
    Reject = 0,

    /// <summary>It lets the producer wait, within the deadline of its request.</summary>
    Wait = 1,

    /// <summary>It abandons what has waited longest.</summary>
    DropOldest = 2,
}

/// <summary>The settings of a <see cref="BackgroundWorkQueue"/>. Section <c>Resilience:Background:{name}</c>.</summary>
public sealed class BackgroundQueueSettings : ISettings
{
    /// <summary>The section under which the queues stand by name.</summary>
    public const string SectionPath = "Resilience:Background";

    /// <summary>How many items may wait; from 1 to 1,000,000, a thousand by default. Read at start.</summary>
    [Range(1, 1_000_000)]
    public int Capacity { get; set; } = 1000;

    /// <summary>How many items run at once; from 1 to 1024, four by default. Read at start.</summary>
    [Range(1, 1024)]
    public int Workers { get; set; } = 4;

    /// <summary>What to do when it is full; <see cref="QueueFullMode.Reject"/> by default. Read at start.</summary>
    public QueueFullMode WhenFull { get; set; } = QueueFullMode.Reject;

    /// <summary>How long accepted work may go on when the host stops; from zero to one hour, 20 s by default. The host's own limit holds too.</summary>
    [TimeRange("00:00:00", "01:00:00")]
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>How long cancelled work is waited for after that; from zero to ten minutes, 5 s by default.</summary>
    [TimeRange("00:00:00", "00:10:00")]
    public TimeSpan Grace { get; set; } = TimeSpan.FromSeconds(5);
}
