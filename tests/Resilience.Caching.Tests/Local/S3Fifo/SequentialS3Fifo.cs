namespace Resilience.Caching.Tests.Local.S3Fifo;

/// <summary>S3-FIFO as plainly as it can be written: lists, one thread, exact ghost. What the engine has to equal.</summary>
internal sealed class SequentialS3Fifo(long capacity)
{
    private readonly long _smallTarget = Math.Max(1, (long)(capacity * 0.12));
    private readonly List<(int Key, long At)> _ghost = [];
    private readonly Dictionary<int, int> _uses = [];
    private long _clock;

    /// <summary>Oldest first.</summary>
    public List<(int Key, long Weight)> Small { get; } = [];

    /// <summary>Oldest first.</summary>
    public List<(int Key, long Weight)> Main { get; } = [];

    private long Weight => Small.Sum(entry => entry.Weight) + Main.Sum(entry => entry.Weight);

    public bool Read(int key)
    {
        if (!_uses.TryGetValue(key, out int uses))
        {
            return false;
        }

        _uses[key] = Math.Min(3, uses + 1);
        return true;
    }

    public void Write(int key, long weight)
    {
        if (_uses.ContainsKey(key))
        {
            List<(int Key, long Weight)> queue = Small.Exists(entry => entry.Key == key) ? Small : Main;
            queue[queue.FindIndex(entry => entry.Key == key)] = (key, weight);
            if (weight > capacity)
            {
                Remove(key);
            }

            MakeRoom(0);
            return;
        }

        long window = Math.Max(1, (long)((capacity - _smallTarget) * 1.5));
        int at = _ghost.FindIndex(entry => entry.Key == key);
        bool isKnown = at >= 0 && _clock - _ghost[at].At < window;
        if (at >= 0)
        {
            _ghost.RemoveAt(at);
        }

        if (weight > capacity)
        {
            return;
        }

        MakeRoom(weight);
        (isKnown ? Main : Small).Add((key, weight));
        _uses[key] = 0;
    }

    public bool Remove(int key)
    {
        Small.RemoveAll(entry => entry.Key == key);
        Main.RemoveAll(entry => entry.Key == key);
        return _uses.Remove(key);
    }

    private void MakeRoom(long weight)
    {
        while (_uses.Count > 0 && Weight + weight > capacity)
        {
            if (Small.Count > 0 && (Small.Sum(entry => entry.Weight) >= _smallTarget || Main.Count == 0))
            {
                EvictFromSmall();
            }
            else
            {
                EvictFromMain();
            }
        }
    }

    private void EvictFromSmall()
    {
        while (Small.Count > 0)
        {
            (int Key, long Weight) oldest = Small[0];
            Small.RemoveAt(0);
            if (_uses[oldest.Key] < 2)
            {
                _uses.Remove(oldest.Key);
                _clock += oldest.Weight;
                _ghost.RemoveAll(entry => entry.Key == oldest.Key);
                _ghost.Add((oldest.Key, _clock));
                return;
            }

            _uses[oldest.Key] = 0;
            Main.Add(oldest);
        }

        EvictFromMain();
    }

    private void EvictFromMain()
    {
        while (Main.Count > 0)
        {
            (int Key, long Weight) oldest = Main[0];
            Main.RemoveAt(0);
            if (_uses[oldest.Key] == 0)
            {
                _uses.Remove(oldest.Key);
                return;
            }

            _uses[oldest.Key]--;
            Main.Add(oldest);
        }
    }
}
