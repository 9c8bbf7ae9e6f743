namespace Resilience.Context.Tests.Scopes;

/// <summary>Scopes and async iterators.</summary>
public sealed class ScopeEnumerableTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Propagate | ScopeFlow.Detach);

    [Fact]
    public async Task Bind_Iterator_KeepsScopeAcrossYields()
    {
        RequestScope scope = RequestScope.Begin();
        IAsyncEnumerable<string?> bound = scope.Bind(TenantsAsync());
        scope.Set(Tenant, "acme");
        Assert.Same(scope, RequestScope.Exchange(null));

        var seen = new List<string?>();
        await foreach (string? tenant in bound)
        {
            Assert.Null(RequestScope.Current);
            seen.Add(tenant);
            if (seen.Count == 3)
            {
                break;
            }
        }

        Assert.Equal("acme acme acme, disposed acme", $"{string.Join(' ', seen)}, {lastWords}");
        scope.Dispose();
    }

    private static string? lastWords;

    private static async IAsyncEnumerable<string?> TenantsAsync()
    {
        try
        {
            while (true)
            {
                await Task.Yield();
                yield return RequestScope.Current?.Get(Tenant);
            }
        }
        finally
        {
            lastWords = $"disposed {RequestScope.Current?.Get(Tenant)}";
        }
    }

    [Fact]
    public async Task PlainIterator_WithoutBind_LosesScope()
    {
        var seen = new List<bool>();
        await foreach (bool isScope in ScopesAsync())
        {
            seen.Add(isScope);
            if (seen.Count == 2)
            {
                break;
            }
        }

        Assert.Equal([true, false], seen);

        static async IAsyncEnumerable<bool> ScopesAsync()
        {
            using RequestScope scope = RequestScope.Begin();
            await Task.Yield();
            yield return RequestScope.Current == scope;
            yield return RequestScope.Current == scope;
        }
    }
}
