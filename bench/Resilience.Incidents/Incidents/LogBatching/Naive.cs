namespace Resilience.Incidents.Incidents.LogBatching;

/// <summary>An audit trail that is written and flushed line by line under a lock, so that nothing is lost.</summary>
/// <remarks>
/// Why it fails: a flush costs the same for one line as for a thousand, and every request waits for its own and for those of all who
/// stand before it at the lock. When the disk is busy the whole service is as slow as the disk.
/// </remarks>
internal sealed class Naive(AuditFile file)
{
    private readonly SemaphoreSlim _turn = new(1);

    public async ValueTask WriteAsync(AuditEntry entry)
    {
        await _turn.WaitAsync();
        try
        {
            file.Append(entry);
        }
        finally
        {
            _turn.Release();
        }
    }
}
