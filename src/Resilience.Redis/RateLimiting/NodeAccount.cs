namespace Resilience.Redis.RateLimiting;

/// <summary>
/// What one node knows of the limit: the permits that it has taken ahead, how long the limit is exhausted, its own share for the time when the
/// ledger is away, and what it has given out.
/// </summary>
/// <remarks>Not thread-safe: the limiter's lock guards it. Times are milliseconds of the limiter's clock.</remarks>
internal sealed class NodeAccount(RedisRateLimiterOptions settings, long now)
{
    /// <summary>The longest that a node lets permits gather before it asks an exhausted limit again, in milliseconds.</summary>
    private const double LongestPause = 10;

    private readonly LocalShare _share = new(settings, now);
    private readonly Demand _demand = new();
    private int _pocket;
    private long _pocketLapses;
    private long _exhaustedUntil;
    private long _retryAt;
    private int _nodes = 1;
    private LimiterCounts _counts;

    /// <summary>Whether the node goes on with its share.</summary>
    public bool IsAway { get; private set; }

    /// <summary>When it was last asked for something.</summary>
    public long UsedAt { get; private set; } = now;

    /// <summary>What can be said without asking the ledger; nothing, where it has to be asked.</summary>
    /// <param name="settings">The settings.</param>
    /// <param name="permits">How many are wanted.</param>
    /// <param name="now">The clock.</param>
    /// <param name="asks">Whether the ledger is to be asked all the same, for those who come next.</param>
    public PermitLease? Decide(RedisRateLimiterOptions settings, int permits, long now, out bool asks)
    {
        asks = false;
        UsedAt = now;
        if (permits == 0)
        {
            return now < _exhaustedUntil && Pocket(now) == 0 ? PermitLease.NotNow : PermitLease.Granted;
        }

        _demand.Add(permits, now);
        if (Pocket(now) >= permits)
        {
            Spend(settings, permits, now);
            int ahead = Ahead(settings);
            asks = ahead > 0 && _pocket <= ahead / 2 && now >= _exhaustedUntil && !IsAway;
            return PermitLease.Granted;
        }

        if (IsAway)
        {
            asks = now >= _retryAt;
            return FromShare(settings, permits, now);
        }

        return now < _exhaustedUntil ? Refuse(settings, permits, now) : null;
    }

    /// <summary>The answer to one who waited for the ledger's; nothing, where the next answer is to be waited for.</summary>
    /// <param name="settings">The settings.</param>
    /// <param name="waiter">Who waited.</param>
    /// <param name="wasAsked">Whether the question was put for this one too.</param>
    /// <param name="now">The clock.</param>
    /// <returns>Whether the waiter has an answer.</returns>
    public bool TryAnswer(RedisRateLimiterOptions settings, PermitWaiter waiter, bool wasAsked, long now)
    {
        if (_pocket >= waiter.Permits)
        {
            if (waiter.TryAnswer(PermitLease.Granted))
            {
                Spend(settings, waiter.Permits, now);
            }

            return true;
        }

        if (!wasAsked && now >= _exhaustedUntil)
        {
            return false;
        }

        if (!waiter.IsGone)
        {
            waiter.TryAnswer(Refuse(settings, waiter.Permits, now));
        }

        return true;
    }

    /// <summary>Gives permits of the node's share, or refuses them.</summary>
    public PermitLease FromShare(RedisRateLimiterOptions settings, int permits, long now)
    {
        TimeSpan wait = _share.TryTake(settings, Nodes(settings), permits, now);
        return Count(wait == TimeSpan.Zero ? PermitLease.Granted : new PermitLease(false, wait), permits, byShare: true);
    }

    /// <summary>Refuses to one who will not wait for the ledger.</summary>
    public PermitLease NotNow(int permits) => Count(PermitLease.NotNow, permits, byShare: false);

    /// <summary>How many to ask the ledger for beyond what is needed now.</summary>
    public long Missing(RedisRateLimiterOptions settings, long now) => Math.Max(0, Ahead(settings) - Pocket(now));

    /// <summary>Notes a question to the ledger.</summary>
    public void NoteAsked() => _counts.RoundTrips++;

    /// <summary>Takes in what the ledger gave.</summary>
    /// <returns>How many questions in a row it had not answered, if this is the first answer since; else 0.</returns>
    public long Settle(RedisRateLimiterOptions settings, in PermitGrant grant, int most, long now)
    {
        long failures = 0;
        if (IsAway)
        {
            IsAway = false;
            failures = _counts.FailuresInARow;
            _counts.FailuresInARow = 0;
        }

        _nodes = Math.Max(1, grant.Nodes);
        _pocket = Pocket(now) + grant.Permits;
        _pocketLapses = now + (long)settings.LeaseDuration.TotalMilliseconds;
        if (grant.Permits < most)
        {
            // Asking again for each permit as it is earned would be a round trip each: a little is let gather, but never so much that the bucket overflows.
            double pause = Math.Min(LongestPause, settings.Burst * 500 / settings.PermitsPerSecond);
            _exhaustedUntil = now + (long)Math.Ceiling(Math.Max(grant.Wait.TotalMilliseconds, pause));
        }

        return failures;
    }

    /// <summary>The ledger does not answer, or there is none: the node goes on with its share.</summary>
    /// <param name="retryAt">When to ask again.</param>
    /// <returns>Whether that is news.</returns>
    public bool GoAway(long retryAt)
    {
        bool isNews = !IsAway;
        IsAway = true;
        _retryAt = retryAt;
        return isNews;
    }

    /// <summary>Notes a question that was not answered.</summary>
    public void NoteFailure()
    {
        _counts.Failures++;
        _counts.FailuresInARow++;
    }

    /// <summary>The permits that were taken ahead and have not lapsed.</summary>
    public int Pocket(long now)
    {
        if (_pocket > 0 && now >= _pocketLapses)
        {
            _pocket = 0;
        }

        return _pocket;
    }

    /// <summary>The permits that could be given at once.</summary>
    public long Available(long now) => Pocket(now) + (IsAway ? Math.Max(0, (long)_share.Tokens) : 0);

    /// <summary>How many nodes share the limit.</summary>
    public int Nodes(RedisRateLimiterOptions settings) => Math.Max(_nodes, settings.ExpectedNodes);

    public LimiterCounts Counts(RedisRateLimiterOptions settings) => _counts with { IsAway = IsAway, Nodes = Nodes(settings) };

    private void Spend(RedisRateLimiterOptions settings, int permits, long now)
    {
        _pocket -= permits;
        _share.Charge(settings, Nodes(settings), permits, now);
        Count(PermitLease.Granted, permits, byShare: false);
    }

    private PermitLease Refuse(RedisRateLimiterOptions settings, int permits, long now)
    {
        double milliseconds = Math.Max(1, _exhaustedUntil - now) + ((permits - 1) * 1000 / settings.PermitsPerSecond);
        return Count(new PermitLease(false, TimeSpan.FromMilliseconds(milliseconds)), permits, byShare: false);
    }

    private PermitLease Count(PermitLease lease, int permits, bool byShare)
    {
        _counts.Add(lease.IsAcquired, byShare, permits);
        return lease;
    }

    /// <summary>How much to take ahead: what was asked for in the last whole span, and nothing where that was so little that it might lapse.</summary>
    private int Ahead(RedisRateLimiterOptions settings)
    {
        int most = Math.Min(settings.MaxLease, settings.Burst / (2 * Nodes(settings)));
        return _demand.PerSpan < 2 ? 0 : Math.Min(_demand.PerSpan, most);
    }
}
