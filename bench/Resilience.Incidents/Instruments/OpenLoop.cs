using System.Diagnostics;

namespace Resilience.Incidents.Instruments;

/// <summary>One request as the generator hands it out.</summary>
/// <param name="Index">Its number, from 0.</param>
/// <param name="Due">When it was due, since the start.</param>
internal readonly record struct Arrival(int Index, TimeSpan Due);

/// <summary>
/// Offers load at a constant arrival rate from a thread of its own. A request's latency counts from the time at which it was <em>due</em>,
/// not from when a starved process got round to sending it: that is the correction for coordinated omission (Gil Tene, "How NOT to
/// measure latency"). A caller gives up after its patience; its request goes on in the service, as it does in life.
/// </summary>
internal sealed class OpenLoop
{
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(10);

    private readonly Timeline _timeline;
    private readonly LoadPlan _plan;
    private readonly Func<Arrival, int> _laneOf;
    private readonly Func<Arrival, CancellationToken, ValueTask<Reply>> _request;
    private readonly List<(TimeSpan At, Action Do)> _events = [];
    private int _unsettled;
    private int _inFlight;

    public OpenLoop(Timeline timeline, Func<Arrival, CancellationToken, ValueTask<Reply>> request)
        : this(timeline, static _ => 0, request)
    {
    }

    public OpenLoop(Timeline timeline, Func<Arrival, int> laneOf, Func<Arrival, CancellationToken, ValueTask<Reply>> request)
    {
        _timeline = timeline;
        _plan = timeline.Plan;
        _laneOf = laneOf;
        _request = request;
        timeline.Watch("in flight", () => InFlight);
        timeline.Watch("heap MB", static () => GC.GetTotalMemory(false) / 1e6);
    }

    /// <summary>Requests that the service is still at work on, whether their caller has gone or not.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Does something at a time since the start, on the sampler's thread; it must return at once.</summary>
    public OpenLoop At(TimeSpan time, Action act)
    {
        _events.Add((time, act));
        return this;
    }

    /// <summary>Offers the whole plan and waits until every caller has its answer or has given up.</summary>
    public async Task RunAsync()
    {
        _events.Sort(static (left, right) => left.At.CompareTo(right.At));
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        long start = Stopwatch.GetTimestamp();
        _timeline.StartedAt = start;
        StartThread("sampler", () => Sample(start));
        StartThread("arrivals", () =>
        {
            Generate(start);
            done.SetResult();
        });
        await done.Task;

        // Counted in turns: while the machine stands still time passes, and nobody can give up.
        int turns = (int)((_plan.Patience + TimeSpan.FromSeconds(1)) / Turn);
        for (int turn = 0; turn < turns && Volatile.Read(ref _unsettled) > 0; turn++)
        {
            await Task.Delay(Turn);
        }
    }

    private static void StartThread(string name, ThreadStart body) =>
        new Thread(body) { Name = name, IsBackground = true, Priority = ThreadPriority.AboveNormal }.UnsafeStart();

    private void Generate(long start)
    {
        double due = 0;
        for (int index = 0; due < _plan.Duration.TotalSeconds; index++)
        {
            TimeSpan at = TimeSpan.FromSeconds(due);
            while (Stopwatch.GetElapsedTime(start) < at)
            {
                Thread.Sleep(1); // never spin: the load shares the cores with what it measures; what is due meanwhile goes out together
            }

            var arrival = new Arrival(index, at);
            int lane = _laneOf(arrival);
            _timeline.Sent(at, lane);
            Interlocked.Increment(ref _unsettled);
            Interlocked.Increment(ref _inFlight);
            ThreadPool.UnsafeQueueUserWorkItem(new Call(this, arrival, lane, start), preferLocal: false);
            due += 1 / _plan.Rate(at);
        }
    }

    private void Sample(long start)
    {
        int next = 0;
        for (int window = 0; window < _timeline.Windows; window++)
        {
            TimeSpan end = (window + 1) * _plan.Window;
            while (Stopwatch.GetElapsedTime(start) is var now && now < end)
            {
                for (; next < _events.Count && _events[next].At <= now; next++)
                {
                    _events[next].Do();
                }

                TimeSpan until = next < _events.Count && _events[next].At < end ? _events[next].At : end;
                Thread.Sleep(Math.Max(0, (int)(until - now).TotalMilliseconds));
            }

            _timeline.Sample(window);
        }
    }

    private sealed class Call(OpenLoop loop, Arrival arrival, int lane, long start) : IThreadPoolWorkItem
    {
        private int _settled;

        public void Execute() => _ = RunAsync();

        private async Task RunAsync()
        {
            TimeSpan left = arrival.Due + loop._plan.Patience - Stopwatch.GetElapsedTime(start);
            using var patience = new CancellationTokenSource();
            await using CancellationTokenRegistration registration = patience.Token.UnsafeRegister(static call => ((Call)call!).Settle(Reply.Failed), this);
            try
            {
                if (left > TimeSpan.Zero)
                {
                    patience.CancelAfter(left);
                    Settle(await loop._request(arrival, patience.Token));
                }
                else
                {
                    Settle(Reply.Failed);
                }
            }
            catch (Exception)
            {
                Settle(Reply.Failed); // whatever it was, the caller got an error
            }
            finally
            {
                Interlocked.Decrement(ref loop._inFlight);
            }
        }

        private void Settle(Reply reply)
        {
            if (Interlocked.Exchange(ref _settled, 1) != 0)
            {
                return;
            }

            TimeSpan latency = Stopwatch.GetElapsedTime(start) - arrival.Due;
            TimeSpan patience = loop._plan.Patience;
            loop._timeline.Settled(arrival.Due, lane, latency >= patience ? Reply.Failed : reply, latency < patience ? latency : patience);
            Interlocked.Decrement(ref loop._unsettled);
        }
    }
}
