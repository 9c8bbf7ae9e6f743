namespace Resilience.Context;

/// <summary>A sequence that runs in a scope: the scope is made current for each step and taken back after it.</summary>
internal sealed class ScopeEnumerable<T>(RequestScope scope, IAsyncEnumerable<T> source) : IAsyncEnumerable<T>
{
    public IAsyncEnumerator<T> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        RequestScope? previous = RequestScope.Exchange(scope);
        try
        {
            return new Enumerator(scope, source.GetAsyncEnumerator(cancellationToken));
        }
        finally
        {
            RequestScope.Exchange(previous);
        }
    }

    private sealed class Enumerator(RequestScope scope, IAsyncEnumerator<T> source) : IAsyncEnumerator<T>
    {
        public T Current => source.Current;

        // Neither method is async: the exchange must be seen by the step, which captures the flow where it first waits, and must be taken
        // back before the caller goes on.
        public ValueTask<bool> MoveNextAsync()
        {
            RequestScope? previous = RequestScope.Exchange(scope);
            try
            {
                return source.MoveNextAsync();
            }
            finally
            {
                RequestScope.Exchange(previous);
            }
        }

        public ValueTask DisposeAsync()
        {
            RequestScope? previous = RequestScope.Exchange(scope);
            try
            {
                return source.DisposeAsync();
            }
            finally
            {
                RequestScope.Exchange(previous);
            }
        }
    }
}
