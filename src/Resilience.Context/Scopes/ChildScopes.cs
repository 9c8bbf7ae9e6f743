namespace Resilience.Context;

/// <summary>The live children of a scope, so that its end can end them.</summary>
internal sealed class ChildScopes
{
    private readonly Lock _lock = new(); // guards _scopes and _isClosed
    private readonly LinkedList<RequestScope> _scopes = [];
    private bool _isClosed;

    public bool TryAdd(RequestScope child, ScopeState childState)
    {
        lock (_lock)
        {
            if (_isClosed)
            {
                return false;
            }

            childState.Place = _scopes.AddLast(child);
            return true;
        }
    }

    public void Remove(ScopeState childState)
    {
        lock (_lock)
        {
            if (!_isClosed && childState.Place is { } place)
            {
                _scopes.Remove(place);
            }
        }
    }

    /// <summary>Takes no more children and gives those that are live, the youngest first.</summary>
    public IReadOnlyList<RequestScope> Close()
    {
        lock (_lock)
        {
            _isClosed = true;
            RequestScope[] live = [.. _scopes];
            _scopes.Clear();
            Array.Reverse(live);
            return live;
        }
    }
}
