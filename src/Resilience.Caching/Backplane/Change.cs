using System.Runtime.InteropServices;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Backplane;

/// <summary>What nodes tell one another.</summary>
internal enum ChangeKind : byte
{
    /// <summary>Nothing: a heartbeat.</summary>
    None = 0,

    /// <summary>A key was set or removed.</summary>
    Key = 1,

    /// <summary>A key was expired.</summary>
    KeyExpired = 2,

    /// <summary>A tag's version rose; <c>*</c> is the namespace.</summary>
    Tag = 3,

    /// <summary>Announcements were lost before they were sent: compare everything.</summary>
    Lost = 4,
}

/// <summary>One change.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Name">The key or tag.</param>
/// <param name="Version">The key's new version.</param>
/// <param name="Tag">The tag's new version.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct Change(ChangeKind Kind, string Name, long Version, TagVersion Tag);
