using System.Diagnostics.CodeAnalysis;
using System.Threading.RateLimiting;

namespace Resilience.Redis.RateLimiting;

/// <summary>A permit, or why there is none. Permits are spent, not given back.</summary>
internal sealed class PermitLease(bool isAcquired, TimeSpan? retryAfter) : RateLimitLease
{
    public static readonly PermitLease Granted = new(true, null);
    public static readonly PermitLease NotNow = new(false, null);

    public override bool IsAcquired => isAcquired;

    public override IEnumerable<string> MetadataNames => retryAfter is null ? [] : [MetadataName.RetryAfter.Name];

    public override bool TryGetMetadata(string metadataName, [NotNullWhen(true)] out object? metadata)
    {
        metadata = retryAfter is { } after && string.Equals(metadataName, MetadataName.RetryAfter.Name, StringComparison.Ordinal) ? after : null;
        return metadata is not null;
    }
}
