using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Benchmarks.Harness;
using Resilience.Caching;
using Resilience.Caching.Guard;

namespace Resilience.Benchmarks.Compare;

/// <summary>What asking the guard costs against a bare dictionary read over the same keys.</summary>
/// <param name="keys">How many keys there are.</param>
internal sealed class GuardGroup(int keys) : ICompareGroup
{
    private const int Asked = 1 << 16; // keys that are asked for, spread over all

    public IReadOnlyList<CompareCase> Cases()
    {
        int count = keys;
        var dictionary = new ConcurrentDictionary<string, object>(Environment.ProcessorCount, count, StringComparer.Ordinal);
        var present = new string[Asked];
        object value = new();
        for (int i = 0; i < count; i++)
        {
            dictionary[$"product:{i}"] = value;
        }

        // The names asked for are copies in the order in which they are asked, so that no row pays for walking the dictionary's own strings.
        var random = new Random(1);
        for (int i = 0; i < Asked; i++)
        {
            present[i] = $"product:{random.Next(count)}";
        }

        string[] absent = [.. present.Select(name => name.Replace("product", "invent!", StringComparison.Ordinal))];
        var guard = new BloomGuard("benchmark", new GuardOptions { ExpectedKeys = count, AuditShare = 0 }, new Numbers(count), null, TimeProvider.System, NullLogger.Instance);
        guard.RebuildAsync().GetAwaiter().GetResult();
        ICacheGuard check = guard;
        return
        [
            Rows("ConcurrentDictionary.TryGetValue, present", present, name => dictionary.TryGetValue(name, out _) ? 1 : 0),
            Rows("ConcurrentDictionary.TryGetValue, absent", absent, name => dictionary.TryGetValue(name, out _) ? 1 : 0),
            Rows("guard check, present", present, name => (int)check.Check(name)),
            Rows("guard check, absent (refused)", absent, name => (int)check.Check(name)),
            Rows("guard add, present", present, name => guard.AddAsync(name).IsCompleted ? 1 : 0),
        ];
    }

    private static CompareCase Rows(string name, string[] names, Func<string, int> ask) => CompareCase.Sync(name, () =>
    {
        int at = 0;
        return operations =>
        {
            long sum = 0;
            int next = at;
            for (int i = 0; i < operations; i++, next++)
            {
                sum += ask(names[next & (Asked - 1)]);
            }

            at = next;
            Sink.Keep(sum);
        };
    });

    private sealed class Numbers(int count) : IGuardSource
    {
        public async IAsyncEnumerable<string> ReadKeysAsync([EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.CompletedTask;
            for (int i = 0; i < count; i++)
            {
                yield return $"product:{i}";
            }
        }
    }
}
