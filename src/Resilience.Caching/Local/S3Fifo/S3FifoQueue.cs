namespace Resilience.Caching.Local.S3Fifo;

/// <summary>A first-in first-out queue threaded through its nodes, which can leave from anywhere. Guarded by the engine's lock.</summary>
internal sealed class S3FifoQueue(Queue name)
{
    /// <summary>The sum of the weights.</summary>
    public long Weight { get; private set; }

    /// <summary>How many nodes it holds.</summary>
    public long Count { get; private set; }

    /// <summary>The newest.</summary>
    public S3FifoNode? Head { get; private set; }

    /// <summary>The oldest.</summary>
    public S3FifoNode? Tail { get; private set; }

    /// <summary>Adds a node as the newest.</summary>
    public void Add(S3FifoNode node)
    {
        node.Queue = name;
        node.TowardsTail = Head;
        node.TowardsHead = null;
        if (Head is { } head)
        {
            head.TowardsHead = node;
        }
        else
        {
            Tail = node;
        }

        Head = node;
        Weight += node.Weight;
        Count++;
    }

    /// <summary>Takes a node out.</summary>
    public void Remove(S3FifoNode node)
    {
        if (node.TowardsHead is { } newer)
        {
            newer.TowardsTail = node.TowardsTail;
        }
        else
        {
            Head = node.TowardsTail;
        }

        if (node.TowardsTail is { } older)
        {
            older.TowardsHead = node.TowardsHead;
        }
        else
        {
            Tail = node.TowardsHead;
        }

        node.TowardsHead = node.TowardsTail = null;
        node.Queue = Queue.None;
        Weight -= node.Weight;
        Count--;
    }

    /// <summary>Charges a node differently from now on.</summary>
    public void Reweigh(S3FifoNode node, long weight)
    {
        Weight += weight - node.Weight;
        node.Weight = weight;
    }
}
