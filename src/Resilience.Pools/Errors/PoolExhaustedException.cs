using System.Globalization;
using System.Text;

namespace Resilience.Pools;

/// <summary>No resource came free in time. The message says how full the pool is; <see cref="Holders"/> says who has it all.</summary>
public sealed class PoolExhaustedException : PoolException
{
    private readonly PoolSnapshot _snapshot;

    internal PoolExhaustedException(PoolSnapshot snapshot, PoolWaitLimit limit, TimeSpan waited, bool isNestedAcquire, Exception? lastCreateFailure)
        : base(snapshot.Name, Describe(snapshot, limit, waited, isNestedAcquire, lastCreateFailure), lastCreateFailure)
    {
        _snapshot = snapshot;
        Limit = limit;
        Waited = waited;
        IsNestedAcquire = isNestedAcquire;
    }

    /// <summary>What ended the wait.</summary>
    public PoolWaitLimit Limit { get; }

    /// <summary>How long the caller waited.</summary>
    public TimeSpan Waited { get; }

    /// <summary>How many resources the pool may have at present.</summary>
    public int MaxSize => _snapshot.Limit;

    /// <summary>How many places were taken, resources in creation and destruction included.</summary>
    public int Size => _snapshot.Open;

    /// <summary>How many resources were idle.</summary>
    public int Idle => _snapshot.Idle;

    /// <summary>How many callers still waited.</summary>
    public int Waiting => _snapshot.Waiting;

    /// <summary>Whether the caller's flow already held a resource of this pool, the usual deadlock; only where that is looked for.</summary>
    public bool IsNestedAcquire { get; }

    /// <summary>Who held the resources, oldest first. Waits that ended together share one list.</summary>
    public IReadOnlyList<PoolHolder> Holders => _snapshot.Holders;

    /// <summary>The state of the pool at that moment.</summary>
    public PoolSnapshot Snapshot => _snapshot;

    private static string Describe(PoolSnapshot snapshot, PoolWaitLimit limit, TimeSpan waited, bool isNested, Exception? failure)
    {
        var text = new StringBuilder(256);
        CultureInfo culture = CultureInfo.InvariantCulture;
        text.Append(culture, $"Pool '{snapshot.Name}': ");
        text.Append(limit == PoolWaitLimit.QueueFull ? "refused, no room to wait" : string.Create(culture, $"no resource within {waited.TotalMilliseconds:0} ms"));
        text.Append(culture, $" (size {snapshot.Open}/{snapshot.Limit}, idle {snapshot.Idle}, waiting {snapshot.Waiting}");
        if (snapshot.Holders is [var oldest, ..])
        {
            text.Append(culture, $", oldest lease {Age(oldest.Age)}{(oldest.Where.Length > 0 ? " at " : "")}{oldest.Where}");
        }

        text.Append("). ");
        text.Append(limit switch
        {
            PoolWaitLimit.RequestDeadline => "The request's deadline ended the wait. ",
            PoolWaitLimit.StandingQueue => "The queue stands, so newcomers wait only CoDelTarget. ",
            _ => "",
        });
        if (isNested)
        {
            text.Append("The caller already holds a resource of this pool: it waits for itself. Pass the lease on instead of acquiring again. ");
        }

        if (failure is not null)
        {
            text.Append(culture, $"The last attempt to create one failed ({failure.GetType().Name}), see the inner exception. ");
        }

        return text.Append(limit == PoolWaitLimit.QueueFull ? "Raise MaxSize or MaxWaiters, or send less." : "Raise MaxSize or AcquireTimeout, or look for a leak.").ToString();
    }

    private static string Age(TimeSpan age) =>
        age < TimeSpan.FromSeconds(10) ? string.Create(CultureInfo.InvariantCulture, $"{age.TotalMilliseconds:0} ms") : string.Create(CultureInfo.InvariantCulture, $"{age.TotalSeconds:0} s");
}
