using System.Collections.Concurrent;
using Resilience.Redis.RateLimiting;

namespace Resilience.Redis.Tests.RateLimiting;

/// <summary>A ledger that answers what the test says.</summary>
internal sealed class FakeLedger : IPermitLedger
{
    /// <summary>Decides on one question, least and most.</summary>
    public Func<int, int, Task<PermitGrant>> Answer { get; set; } = (_, most) => Task.FromResult(new PermitGrant(most, TimeSpan.Zero, 1));

    public ConcurrentQueue<(int Least, int Most)> Questions { get; } = [];

    public static Task<PermitGrant> Nothing(double waitMilliseconds) => Task.FromResult(new PermitGrant(0, TimeSpan.FromMilliseconds(waitMilliseconds), 1));

    public Task<PermitGrant> TakeAsync(double permitsPerSecond, int burst, int least, int most)
    {
        Questions.Enqueue((least, most));
        return Answer(least, most);
    }
}
