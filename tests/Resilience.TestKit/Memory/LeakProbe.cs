namespace Resilience.TestKit;

/// <summary>
/// What a leak scenario reports to: the payloads that are watched by weak reference, and the roots that stay reachable while the
/// garbage collector is asked about them (the stray timer, the parked task, the captured context). Thread-safe.
/// </summary>
public sealed class LeakProbe
{
    private readonly Lock _lock = new(); // guards _payloads, _roots
    private readonly List<(string Name, WeakReference Reference)> _payloads = [];
    private readonly List<object> _roots = [];

    internal LeakProbe()
    {
    }

    internal int Count
    {
        get
        {
            lock (_lock)
            {
                return _payloads.Count;
            }
        }
    }

    /// <summary>Watches a payload without keeping it alive.</summary>
    /// <typeparam name="T">Its type.</typeparam>
    /// <param name="payload">The payload.</param>
    /// <param name="name">What a failure calls it; its type's name by default.</param>
    /// <returns>The payload.</returns>
    public T Track<T>(T payload, string? name = null)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(payload);
        lock (_lock)
        {
            _payloads.Add((name ?? payload.GetType().Name, new WeakReference(payload)));
        }

        return payload;
    }

    /// <summary>Keeps an object reachable until the assertion is over, as a static field or a timer queue would.</summary>
    /// <typeparam name="T">Its type.</typeparam>
    /// <param name="root">The object.</param>
    /// <returns>The object.</returns>
    public T Keep<T>(T root)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(root);
        lock (_lock)
        {
            _roots.Add(root);
        }

        return root;
    }

    internal IReadOnlyList<string> Alive()
    {
        lock (_lock)
        {
            return [.. _payloads.Where(payload => payload.Reference.IsAlive).Select(payload => payload.Name)];
        }
    }

    internal void DisposeRoots()
    {
        lock (_lock)
        {
            foreach (IDisposable root in _roots.OfType<IDisposable>())
            {
                root.Dispose();
            }

            _roots.Clear();
        }
    }
}
