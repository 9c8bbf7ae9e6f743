namespace Resilience.Degrade;

/// <summary>Where it is written down who overrode what, append-only and before it takes effect.</summary>
public interface IOverrideAudit
{
    /// <summary>Writes one entry. A failure stops a command that would make a feature do more; one that makes it do less goes on.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    ValueTask WriteAsync(OverrideAuditEntry entry, CancellationToken cancellationToken);
}
