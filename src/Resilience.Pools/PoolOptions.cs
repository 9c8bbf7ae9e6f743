using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Pools;

/// <summary>
/// The settings of one pool: configuration section <c>Resilience:Pools:&lt;name&gt;</c>. They are validated when the host starts and
/// reload live, except where a property says "at start".
/// </summary>
/// <remarks>Not thread-safe. A pool takes a copy; a later change of the object does nothing.</remarks>
public sealed class PoolOptions : ISettings
{
    /// <summary>The most resources that may exist at once, those being created and destroyed included. Default 20, from 1 to 65,536.</summary>
    [Range(1, 65_536)]
    public int MaxSize { get; set; } = 20;

    /// <summary>How many idle resources are kept ready beyond those in use, as far as <see cref="MaxSize"/> allows. Default 0, from 0 to 65,536.</summary>
    [Range(0, 65_536)]
    public int MinIdle { get; set; }

    /// <summary>
    /// Whether the host's start waits until <see cref="MinIdle"/> resources exist, for at most <see cref="CreateTimeout"/>. A backend
    /// that is down delays the start, and does not stop it. Default false. Read at start.
    /// </summary>
    public bool WarmUp { get; set; }

    /// <summary>
    /// The longest that a caller waits for a resource; the ambient request deadline and the caller's token may end the wait earlier.
    /// Default 3 s, from 0 (take what is idle or fail) to 1 hour, or infinite.
    /// </summary>
    [TimeRange("00:00:00", "01:00:00", AllowInfinite = true)]
    public TimeSpan AcquireTimeout { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>How many callers may wait at once; a caller beyond it is refused at once. Default 1,000, from 0 to 1,000,000.</summary>
    [Range(0, 1_000_000)]
    public int MaxWaiters { get; set; } = 1_000;

    /// <summary>Who of the waiting callers is served next. Default <see cref="Pools.WaiterOrder.Fifo"/>.</summary>
    public WaiterOrder WaiterOrder { get; set; }

    /// <summary>
    /// With <see cref="WaiterOrder.AdaptiveLifo"/>: the longest wait that a caller is allowed while a queue stands. Default 50 ms, from
    /// 1 ms to 1 minute.
    /// </summary>
    [TimeRange("00:00:00.001", "00:01:00")]
    public TimeSpan CoDelTarget { get; set; } = TimeSpan.FromMilliseconds(50);

    /// <summary>
    /// With <see cref="WaiterOrder.AdaptiveLifo"/>: how long the queue must have been without an empty moment to count as standing.
    /// Default 500 ms, from 10 ms to 10 minutes, not below <see cref="CoDelTarget"/>.
    /// </summary>
    [TimeRange("00:00:00.010", "00:10:00")]
    public TimeSpan CoDelInterval { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// Whether waiting callers are served by the priority of their request scope, equals in order. Every eighth grant goes to whoever
    /// has waited longest, so that nobody starves. Default true.
    /// </summary>
    public bool Priorities { get; set; } = true;

    /// <summary>How long a resource beyond <see cref="MinIdle"/> may lie idle before it is destroyed. Default 5 min, from 100 ms to 7 days, or infinite.</summary>
    [TimeRange("00:00:00.100", "7.00:00:00", AllowInfinite = true)]
    public TimeSpan IdleTimeout { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How old a resource may grow; it is replaced when it is idle. Default 30 min, from 100 ms to 7 days, or infinite.</summary>
    [TimeRange("00:00:00.100", "7.00:00:00", AllowInfinite = true)]
    public TimeSpan MaxLifetime { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>
    /// The share of <see cref="MaxLifetime"/> by which each resource's own lifetime is shortened at random, so that those created
    /// together do not die together. Default 0.1, from 0 to 0.9.
    /// </summary>
    [Range(0.0, 0.9)]
    public double LifetimeJitter { get; set; } = 0.1;

    /// <summary>How often an idle resource is validated so that neither end forgets the other. Default infinite (never), else from 100 ms to 1 day.</summary>
    [TimeRange("00:00:00.100", "1.00:00:00", AllowInfinite = true)]
    public TimeSpan KeepAliveInterval { get; set; } = Timeout.InfiniteTimeSpan;

    /// <summary>
    /// A resource that was last leased longer ago than this is validated before it is leased again. Default 30 s, from 0 (always) to 1
    /// day, or infinite (never). After a fatal failure of any resource the idle ones are validated in any case.
    /// </summary>
    [TimeRange("00:00:00", "1.00:00:00", AllowInfinite = true)]
    public TimeSpan ValidateOnAcquireAfter { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether a resource is validated when it comes back, in the background. Default false.</summary>
    public bool ValidateOnReturn { get; set; }

    /// <summary>How long a validation or a reset may take before the resource counts as broken. Default 1 s, from 1 ms to 10 minutes.</summary>
    [TimeRange("00:00:00.001", "00:10:00")]
    public TimeSpan ValidateTimeout { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long the creation of a resource may take. Default 5 s, from 1 ms to 10 minutes.</summary>
    [TimeRange("00:00:00.001", "00:10:00")]
    public TimeSpan CreateTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How many resources may be in creation at once; one only after a failure, until one succeeds. Default 4, from 1 to 1,024.</summary>
    [Range(1, 1_024)]
    public int MaxConcurrentCreates { get; set; } = 4;

    /// <summary>The wait after a first failed creation; it doubles with each further one up to <see cref="MaxCreateBackoff"/>, jittered down by up to a half. Default 100 ms, from 1 ms to 1 minute.</summary>
    [TimeRange("00:00:00.001", "00:01:00")]
    public TimeSpan CreateBackoff { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait between two attempts to create. Default 800 ms, from 1 ms to 10 minutes, not below <see cref="CreateBackoff"/>.</summary>
    [TimeRange("00:00:00.001", "00:10:00")]
    public TimeSpan MaxCreateBackoff { get; set; } = TimeSpan.FromMilliseconds(800);

    /// <summary>
    /// After how many failed creations in a row the backend counts as down: then callers fail at once, unless a living resource may
    /// still come free for them, and one probe at a time tries on. Default 3, from 1 to 1,000.
    /// </summary>
    [Range(1, 1_000)]
    public int BreakAfter { get; set; } = 3;

    /// <summary>
    /// How long the destruction of a resource may take before its token is cancelled. Its place stays taken until it has ended. Default
    /// 5 s, from 1 ms to 10 minutes.
    /// </summary>
    [TimeRange("00:00:00.001", "00:10:00")]
    public TimeSpan DestroyTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the stop of the host waits for resources in use. Default 5 s, from 0 to 10 minutes.</summary>
    [TimeRange("00:00:00", "00:10:00")]
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>A lease held longer than this is reported as a leak, once. Default 30 s, from 10 ms to 1 day, or infinite (never).</summary>
    [TimeRange("00:00:00.010", "1.00:00:00", AllowInfinite = true)]
    public TimeSpan LeakThreshold { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>What is done about a leak beyond the report. Default <see cref="Pools.LeakAction.Report"/>.</summary>
    public LeakAction LeakAction { get; set; }

    /// <summary>
    /// One lease in so many of each resource has its caller's stack recorded: 1 for all. Default 0: only of call sites that have leaked
    /// before. From 0 to 1,000,000. One stack costs some 20 µs and 9 KB; file and line are known without it.
    /// </summary>
    [Range(0, 1_000_000)]
    public int LeakStackSampling { get; set; }

    /// <summary>
    /// Whether a flow that waits for a resource while it holds one of the same pool is told so in the exception: the usual deadlock.
    /// Costs some 100 ns and 100 B a lease. Default <see langword="null"/>: in the Development environment always, elsewhere for a minute
    /// from each exhaustion on, so that of a deadlock that recurs the second report names it. Read at start.
    /// </summary>
    public bool? DetectNestedAcquire { get; set; }

    /// <summary>
    /// The feature that the pool serves; none by default. While it is degraded or off, those who wait are served strictly by priority. Needs
    /// <c>AddResilienceKit()</c>, which joins the two.
    /// </summary>
    public string? Feature { get; set; }

    /// <summary>
    /// The name of the Polly pipeline that each creation runs in, from <c>ResiliencePipelineProvider&lt;string&gt;</c>; none by default. All its attempts
    /// together are bounded by <see cref="CreateTimeout"/>. Read at start.
    /// </summary>
    public string? Pipeline { get; set; }

    /// <summary>The rate limit in front of the pool; none by default.</summary>
    public PoolRateLimitOptions RateLimit { get; private set; } = new();

    /// <summary>The automatic choice of a size between bounds; off by default.</summary>
    public AdaptiveSizingOptions AdaptiveSizing { get; private set; } = new();

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (MinIdle > MaxSize)
        {
            problems.Add(nameof(MinIdle), MinIdle, $"must not be above MaxSize ({MaxSize})");
        }

        if (CoDelInterval < CoDelTarget)
        {
            problems.Add(nameof(CoDelInterval), CoDelInterval, $"must not be below CoDelTarget ({CoDelTarget:c})");
        }

        if (MaxCreateBackoff < CreateBackoff)
        {
            problems.Add(nameof(MaxCreateBackoff), MaxCreateBackoff, $"must not be below CreateBackoff ({CreateBackoff:c})");
        }

        if (AdaptiveSizing.Enabled && AdaptiveSizing.MinSize > MaxSize)
        {
            problems.Add("AdaptiveSizing:MinSize", AdaptiveSizing.MinSize, $"must not be above MaxSize ({MaxSize})");
        }

        if (WarmUp && MinIdle == 0)
        {
            problems.Add(nameof(WarmUp), WarmUp, "has nothing to warm up while MinIdle is 0");
        }
    }

    /// <summary>What the pool runs on: later changes of this object must not reach it.</summary>
    internal PoolOptions Copy()
    {
        var copy = (PoolOptions)MemberwiseClone();
        copy.RateLimit = RateLimit.Copy();
        copy.AdaptiveSizing = AdaptiveSizing.Copy();
        return copy;
    }

    /// <summary>The same with another size; what may not be above it goes down with it.</summary>
    internal PoolOptions CopyWithMaxSize(int maxSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maxSize, 65_536);
        PoolOptions copy = Copy();
        copy.MaxSize = maxSize;
        copy.MinIdle = Math.Min(MinIdle, maxSize);
        copy.AdaptiveSizing.MinSize = Math.Min(AdaptiveSizing.MinSize, maxSize);
        return copy;
    }
}
