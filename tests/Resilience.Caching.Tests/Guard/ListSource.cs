using System.Runtime.CompilerServices;
using Resilience.Caching.Guard;

namespace Resilience.Caching.Tests.Guard;

/// <summary>A source over a list, with hooks into the middle of a snapshot.</summary>
internal sealed class ListSource(params IEnumerable<string> keys) : IGuardSource
{
    public List<string> Keys { get; } = [.. keys];

    public Func<Task>? AtBegin { get; set; }

    public Func<Task>? AtEnd { get; set; }

    public int Reads { get; private set; }

    public async IAsyncEnumerable<string> ReadKeysAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        Reads++;
        string[] snapshot = [.. Keys];
        if (AtBegin is { } begin)
        {
            await begin();
        }

        foreach (string key in snapshot)
        {
            yield return key;
        }

        if (AtEnd is { } end)
        {
            await end();
        }
    }
}
