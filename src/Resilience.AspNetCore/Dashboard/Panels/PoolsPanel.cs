using Microsoft.Extensions.DependencyInjection;
using Resilience.Pools;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>All pools of the container. They are looked up when the page is first opened, which makes those that nothing has used yet.</summary>
internal sealed class PoolsPanel(IServiceProvider services) : IDashboardPanel
{
    private IResourcePool[]? _pools;

    public string Area => "pools";

    public DashboardSnapshot Read(DashboardSnapshot snapshot)
    {
        IResourcePool[] pools = _pools ??= [.. services.GetServices<IResourcePool>().Distinct()];
        return pools.Length == 0 ? snapshot : snapshot with { Pools = [.. pools.Select(pool => Figures(pool.Snapshot(), pool.YieldsToPriority))] };
    }

    private static PoolFigures Figures(PoolSnapshot pool, bool yields) => new()
    {
        Name = pool.Name,
        MaxSize = pool.MaxSize,
        Limit = pool.Limit,
        Leased = pool.Leased,
        Idle = pool.Idle,
        Busy = pool.Creating + pool.Checking + pool.Closing,
        Waiting = pool.Waiting,
        Backend = pool.Backend.ToString(),
        CreateFailures = pool.CreateFailures,
        IsClosed = pool.IsClosed,
        Timeouts = pool.Timeouts,
        Leaks = pool.Leaks,
        Reclaims = pool.Reclaims,
        Yields = yields,
        Holders = [.. pool.Holders.Take(PoolFigures.MaxHolders).Select(holder => new HolderFigures(holder.Age.TotalSeconds, holder.Where, holder.Stack))],
    };
}
