namespace Resilience.Pools;

/// <summary>The batch writer drains or has been disposed: it accepts nothing any more. The item was not accepted.</summary>
public sealed class BatchWriterClosedException : InvalidOperationException
{
    internal BatchWriterClosedException(string writerName)
        : base($"Batch writer '{writerName}' is closed: the service is stopping or the writer was disposed. The item was not accepted.") => WriterName = writerName;

    /// <summary>The name of the writer.</summary>
    public string WriterName { get; }
}
