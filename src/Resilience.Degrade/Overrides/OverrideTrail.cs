using Microsoft.Extensions.Logging;

namespace Resilience.Degrade;

/// <summary>Writes commands down before they take effect, and remembers the last of them. Thread-safe.</summary>
internal sealed class OverrideTrail(IEnumerable<IOverrideAudit> audits, ILogger logger)
{
    private const int Remembered = 256;

    private readonly Lock _lock = new(); // guards _recent
    private readonly Queue<OverrideAuditEntry> _recent = new();
    private readonly IOverrideAudit[] _audits = [.. audits];

    /// <summary>The last entries, oldest first.</summary>
    public IReadOnlyList<OverrideAuditEntry> Recent
    {
        get
        {
            lock (_lock)
            {
                return [.. _recent];
            }
        }
    }

    /// <summary>Writes an entry to every audit; for one that does less a broken audit is only told.</summary>
    public async ValueTask WriteAsync(OverrideAuditEntry entry, bool doesLess, CancellationToken cancellationToken)
    {
        DegradeLog.OverrideIssued(logger, entry.Command.Feature, entry.Before, entry.Command.State?.ToString() ?? "no override", entry.Command.Who, entry.Command.Ttl, entry.Command.Reason);
        foreach (IOverrideAudit audit in _audits)
        {
            try
            {
                await audit.WriteAsync(entry, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (doesLess && !(exception is OperationCanceledException && cancellationToken.IsCancellationRequested))
            {
                DegradeLog.AuditFailed(logger, entry.Command.Feature, exception);
            }
        }

        lock (_lock)
        {
            _recent.Enqueue(entry);
            while (_recent.Count > Remembered)
            {
                _recent.Dequeue();
            }
        }
    }
}
