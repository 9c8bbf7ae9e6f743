namespace Resilience.Redis;

/// <summary>Since when each of those that were asked for a sign of life has been silent. Not thread-safe.</summary>
internal sealed class Silences(TimeProvider time, TimeSpan bound)
{
    private readonly Dictionary<string, long> _since = new(StringComparer.Ordinal);

    /// <summary>Takes in what was heard.</summary>
    public void Note(SignsOfLife signs)
    {
        foreach (string name in signs.Answered)
        {
            _since.Remove(name);
        }

        foreach (string name in signs.Silent)
        {
            _since.TryAdd(name, time.GetTimestamp());
        }
    }

    /// <summary>Those that have been silent for as long as the bound; each counts anew from now on.</summary>
    public IReadOnlyCollection<string> TakeOverdue()
    {
        string[] overdue = [.. _since.Where(silence => time.GetElapsedTime(silence.Value) >= bound).Select(silence => silence.Key)];
        foreach (string name in overdue)
        {
            _since.Remove(name);
        }

        return overdue;
    }
}
