using System.Collections.Concurrent;

namespace Resilience.AspNetCore.Failures;

/// <summary>Says when a failure that keeps on happening is to be logged: at first, and then once a minute with its count. Thread-safe.</summary>
internal sealed class FailureEpisodes(TimeProvider time)
{
    public static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);

    /// <summary>Subjects are the names of blocks and types of exceptions; should they be more after all, the others share one episode.</summary>
    private const int MaxSubjects = 256;

    private readonly ConcurrentDictionary<string, Episode> _episodes = new(StringComparer.Ordinal);

    /// <summary>Counts a failure.</summary>
    /// <returns>How many there were since the last time that this was not zero; zero when nothing is to be said now.</returns>
    public long Count(string subject)
    {
        if (!_episodes.TryGetValue(subject, out Episode? episode))
        {
            episode = _episodes.GetOrAdd(_episodes.Count < MaxSubjects ? subject : "", static _ => new Episode());
        }

        long now = time.GetTimestamp();
        lock (episode)
        {
            episode.Count++;
            if (episode.SaidAt is { } said && time.GetElapsedTime(said, now) < Pause)
            {
                return 0;
            }

            long count = episode.Count;
            episode.SaidAt = now;
            episode.Count = 0;
            return count;
        }
    }

    /// <summary>Guarded by itself.</summary>
    private sealed class Episode
    {
        public long Count { get; set; }

        public long? SaidAt { get; set; }
    }
}
