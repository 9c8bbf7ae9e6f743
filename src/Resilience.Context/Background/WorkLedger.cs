namespace Resilience.Context;

/// <summary>Keeps the account of a queue: what was accepted is what was run and what was abandoned. Thread-safe.</summary>
internal sealed class WorkLedger(string queue, ScopeMonitor monitor, Action<AbandonedWork>? onAbandoned)
{
    private readonly long[] _abandonedFor = new long[Enum.GetValues<WorkAbandonReason>().Length];
    private long _accepted;
    private long _run;
    private long _abandoned;
    private long _refused; // since the queue last accepted anything

    public long Accepted => Volatile.Read(ref _accepted);

    public long Run => Volatile.Read(ref _run);

    public long Abandoned => Volatile.Read(ref _abandoned);

    public void Accept(WorkItem item)
    {
        Count(item);
        if (Volatile.Read(ref _refused) != 0 && Interlocked.Exchange(ref _refused, 0) is > 0 and long count)
        {
            ScopeLog.Accepting(monitor.Logger, queue, count);
        }
    }

    public void Refuse(int capacity, bool isStopping)
    {
        monitor.Metrics.Item(queue, "refused");
        if (Interlocked.Increment(ref _refused) == 1 && !isStopping)
        {
            ScopeLog.Rejecting(monitor.Logger, queue, capacity);
        }
    }

    /// <summary>Work has ended by itself, well or not.</summary>
    public void Finish(WorkItem item, string outcome)
    {
        if (item.TryFinish())
        {
            Count(item);
            Interlocked.Increment(ref _run);
            monitor.Metrics.Item(queue, outcome);
        }
        else
        {
            ScopeLog.OutlivedStop(monitor.Logger, queue, item.Snapshot.Id);
        }
    }

    /// <summary>Work is given up and handed over, unless it has ended already.</summary>
    public void Abandon(WorkItem item, WorkAbandonReason reason)
    {
        if (!item.TryFinish())
        {
            return;
        }

        Count(item);
        Interlocked.Increment(ref _abandoned);
        Interlocked.Increment(ref _abandonedFor[(int)reason]);
        monitor.Metrics.Item(queue, "abandoned");
        try
        {
            onAbandoned?.Invoke(new AbandonedWork(queue, reason, item.Snapshot, item.State));
        }
        catch (Exception exception)
        {
            // The handler of somebody else; the other items must still be handed over.
            ScopeLog.AbandonFailed(monitor.Logger, queue, item.Snapshot.Id, exception);
        }
    }

    // A worker may have ended the item before its producer comes to count it. Counting it first in either place keeps the account right
    // at every moment, the one in which the queue has stopped included.
    private void Count(WorkItem item)
    {
        if (item.TryCount())
        {
            Interlocked.Increment(ref _accepted);
        }
    }

    /// <summary>Tells how it all ended.</summary>
    public void Close()
    {
        for (int reason = 0; reason < _abandonedFor.Length; reason++)
        {
            if (Volatile.Read(ref _abandonedFor[reason]) is > 0 and long count)
            {
                ScopeLog.Abandoned(monitor.Logger, queue, count, (WorkAbandonReason)reason);
            }
        }

        ScopeLog.Stopped(monitor.Logger, queue, Accepted, Run, Abandoned);
    }
}
