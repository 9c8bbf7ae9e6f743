using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;

namespace Resilience.Caching.Tests.Flights;

/// <summary>What a flight and its stripe promise to everybody who holds one, apart from any cache.</summary>
public sealed class FlightLawTests
{
    private readonly KeyStripe _stripe = new(new object());

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Remove_AnyFlightOfTheList_LeavesTheOthersInIt(int gone)
    {
        Flight<int, string>[] flights = [New("a"), New("b"), New("c"), New("d")];
        flights[gone].Finish();
        Assert.False(flights[gone].IsListed);
        Assert.Equal(flights.Where((_, i) => i != gone).Reverse(), Listed());
        flights[gone].Finish(); // once more does no harm
        Assert.Equal(flights.Where((_, i) => i != gone).Reverse(), Listed());
        Assert.All(Listed(), flight => Assert.True(flight.IsListed));
    }

    [Fact]
    public void Remove_InAnyOrder_EmptiesTheList()
    {
        var random = new Random(17);
        for (int round = 0; round < 200; round++)
        {
            Flight[] flights = [.. Enumerable.Range(0, 8).Select(i => New($"key{i}"))];
            random.Shuffle(flights);
            for (int i = 0; i < flights.Length; i++)
            {
                _stripe.RemoveUnderLock(flights[i]);
                Assert.Equal(flights.Skip(i + 1).ToHashSet(), Listed().ToHashSet());
            }
        }
    }

    [Fact]
    public void Doom_OneKey_TakesAllFlightsOfThatKeyOutAndNoOther()
    {
        Flight[] flights = [New("a"), New("b"), New("a"), New("A"), New("a")];
        _stripe.DoomUnderLock("a", isRemoval: true);
        Assert.Equal([flights[3], flights[1]], Listed());
        Assert.Equal([true, false, true, false, true], flights.Select(flight => flight.IsDoomed));
        Assert.Equal([false, true, false, true, false], flights.Select(flight => flight.IsListed));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Doom_ARemovalForgetsTheStaleCopyAndAnExpiryKeepsIt(bool isRemoval)
    {
        Flight<int, string> flight = New("a");
        Flight<int, string> other = New("b");
        var copy = new SharedEntry<string>("old");
        flight.Stale = other.Stale = copy;
        _stripe.DoomUnderLock("a", isRemoval);
        Assert.Same(isRemoval ? null : copy, flight.Stale);
        Assert.Same(copy, other.Stale);
    }

    [Fact]
    public void Doom_WithACollector_CollectsTheWritesThatAreUnderWay()
    {
        var running = new TaskCompletionSource();
        Flight writing = New("a");
        Flight written = New("a");
        Flight other = New("b");
        writing.Writing = running.Task;
        written.Writing = Task.CompletedTask;
        other.Writing = running.Task;
        _ = New("a"); // writes nothing
        var collected = new List<Task>();
        _stripe.DoomUnderLock("a", isRemoval: true, collected);
        Assert.Equal([running.Task], collected);
        running.SetResult();
    }

    [Fact]
    public void Answer_Twice_TheFirstOneCounts()
    {
        Flight<int, string> flight = New("a");
        var entry = new SharedEntry<string>("first");
        Assert.False(flight.IsAnswered);
        Assert.True(flight.Answer("first", entry, CacheOrigin.Shared, isStale: true));
        Assert.True(flight.IsAnswered);
        Assert.False(flight.Answer("second", null, CacheOrigin.Source, isStale: false));
        flight.Fail(ExceptionDispatchInfo.Capture(new InvalidDataException()));
        Assert.Equal("first", flight.Value);
        Assert.Same(entry, flight.Entry);
        Assert.Equal(CacheOrigin.Shared, flight.Origin);
        Assert.True(flight.IsStale);
        Assert.Null(flight.Failure);
    }

    [Fact]
    public void Fail_ThenAnswer_TheFailureCounts()
    {
        Flight<int, string> flight = New("a");
        var failure = ExceptionDispatchInfo.Capture(new InvalidDataException());
        flight.Fail(failure);
        Assert.True(flight.IsAnswered);
        Assert.False(flight.Answer("late", null, CacheOrigin.Source, isStale: false));
        Assert.Same(failure, flight.Failure);
        Assert.Null(flight.Value);
    }

    [Fact]
    public async Task Answered_WhoWaitsBeforeAndWhoWaitsAfter_AreBothReleased()
    {
        foreach (Action<Flight<int, string>> end in new Action<Flight<int, string>>[]
        {
            flight => flight.Answer("value", null, CacheOrigin.Source, isStale: false),
            flight => flight.Fail(ExceptionDispatchInfo.Capture(new InvalidDataException())),
            flight => flight.Finish(),
        })
        {
            Flight<int, string> flight = New("a");
            Task before = Answered(flight);
            Assert.False(before.IsCompleted);
            Assert.Same(before, Answered(flight));
            end(flight);
            await before.Soon();
            Assert.True(Answered(flight).IsCompleted);
            flight.Finish();
        }
    }

    [Fact]
    public async Task Finish_AnsweredOrNot_EndsTimerMarkAndPlaceAndKeepsTheAnswer()
    {
        var time = new TestKit.ManualTimeProvider();
        bool fired = false;
        Flight<int, string> flight = New("a");
        flight.Timer = time.CreateTimer(_ => fired = true, null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        flight.Answer("value", null, CacheOrigin.Source, isStale: false);
        Assert.Same(flight, flight.Cancellation.Flight);
        flight.Finish();
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.False(fired);
        Assert.Null(flight.Cancellation.Flight);
        Assert.Empty(Listed());
        Assert.Equal("value", flight.Value);
        await Answered(flight).Soon();
    }

    [Fact]
    public void Suits_OnlyTheSameKeyWithTheSameFlagsAndNoFailure()
    {
        Flight<int, string> flight = New("a", HybridCacheEntryFlags.DisableLocalCacheWrite);
        Assert.True(flight.Suits("a", HybridCacheEntryFlags.DisableLocalCacheWrite));
        Assert.False(flight.Suits("A", HybridCacheEntryFlags.DisableLocalCacheWrite));
        Assert.False(flight.Suits("a", HybridCacheEntryFlags.None));
        flight.Answer("value", null, CacheOrigin.Source, isStale: false);
        Assert.True(flight.Suits("a", HybridCacheEntryFlags.DisableLocalCacheWrite));

        Flight<int, string> failed = New("a");
        failed.Fail(ExceptionDispatchInfo.Capture(new InvalidDataException()));
        Assert.False(failed.Suits("a", HybridCacheEntryFlags.None));
    }

    [Fact]
    public void Tags_OthersThanItsCallDeclared_AreRemembered()
    {
        TagState[] declared = [new TagState("tag")];
        Flight<int, string> flight = New("a", tags: declared);
        flight.Tags = declared;
        Assert.False(flight.HasOtherTags);
        flight.Tags = [new TagState("tag")];
        Assert.True(flight.HasOtherTags);
        flight.Tags = flight.Tags;
        Assert.True(flight.HasOtherTags);
        flight.Tags = [new TagState("tag")]; // others again
        Assert.True(flight.HasOtherTags);
    }

    [Fact]
    public void IsTooOldFor_TagsThatTheCallerCouldNotKnow_AreCheckedAgainstWhatCameSince()
    {
        var invalidations = new Invalidations(maxTags: 10);
        TagState tag = invalidations.Tags.Get("tag");
        Flight<int, string> plain = New("a", tags: [tag]);
        Flight<int, string> retagged = New("a");
        retagged.Tags = [tag];
        foreach (Flight<int, string> flight in new[] { plain, retagged })
        {
            flight.Answer("value", null, CacheOrigin.Source, isStale: false);
            Assert.False(flight.IsTooOldFor(invalidations.Count.Current, invalidations));
        }

        tag.Invalidate(invalidations.Count.Next(), isRemoval: false);
        long joined = invalidations.Count.Current;
        Assert.False(plain.IsTooOldFor(joined, invalidations)); // its caller declared the tag: the invalidation has doomed the flight already
        Assert.True(retagged.IsTooOldFor(joined, invalidations));
        Assert.False(retagged.IsTooOldFor(retagged.Start, invalidations)); // who was there from the start may have the older value
    }

    [Fact]
    public void IsTooOldFor_ACopyOfTheLocalTier_IsCheckedByItsOwnTags()
    {
        var invalidations = new Invalidations(maxTags: 10);
        TagState expired = invalidations.Tags.Get("expired");
        TagState removed = invalidations.Tags.Get("removed");
        Flight<int, string> freshOne = Answered("a", expired, isStale: false);
        Flight<int, string> staleOfExpired = Answered("a", expired, isStale: true);
        Flight<int, string> staleOfRemoved = Answered("a", removed, isStale: true);
        Flight<int, string>[] all = [freshOne, staleOfExpired, staleOfRemoved];
        Assert.All(all, flight => Assert.False(flight.IsTooOldFor(0, invalidations)));

        expired.Invalidate(invalidations.Count.Next(), isRemoval: false);
        removed.Invalidate(invalidations.Count.Next(), isRemoval: true);
        Assert.Equal([true, false, true], all.Select(flight => flight.IsTooOldFor(2, invalidations)));

        Flight<int, string> nothing = New("a");
        nothing.Answer(null!, null, CacheOrigin.Local, isStale: false);
        Assert.False(nothing.IsTooOldFor(2, invalidations));
    }

    [Fact]
    public async Task Invoke_EitherKindOfFactory_GetsItsStateAndItsToken()
    {
        using var source = new CancellationTokenSource();
        Flight<int, string> plain = New("a", factory: (Func<int, CancellationToken, ValueTask<string>>)((state, token) => new ValueTask<string>($"{state} {token == source.Token}")));
        Assert.False(plain.WantsLoad);
        Assert.Equal("42 True", await plain.InvokeAsync(null, source.Token));

        Flight<int, string> seeing = New("a", factory: (Func<CacheLoad<string>, int, CancellationToken, ValueTask<string>>)((load, state, token) => new ValueTask<string>($"{load is null} {state} {token == source.Token}")));
        Assert.True(seeing.WantsLoad);
        Assert.Equal("True 42 True", await seeing.InvokeAsync(null, source.Token));

        string message = Assert.Throws<InvalidOperationException>(() => { _ = New("a").InvokeAsync(null, source.Token); }).Message;
        Assert.Contains("without a factory", message, StringComparison.Ordinal);
    }

    [Fact]
    public void IsOutOfLeadersTime_OnlyWhenTheLeadersDeadlineIsWhatEndedIt()
    {
        var time = new TestKit.ManualTimeProvider();
        Flight<int, string> flight = New("a");
        var failure = new InvalidDataException();
        Assert.False(flight.IsOutOfLeadersTime(null));
        Assert.False(flight.IsOutOfLeadersTime(failure));
        Assert.True(flight.IsOutOfLeadersTime(new Context.DeadlineExceededException()));

        flight.LeaderDeadline = Context.Deadline.After(TimeSpan.FromSeconds(1), time);
        Assert.False(flight.IsOutOfLeadersTime(failure));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(flight.IsOutOfLeadersTime(failure));
        Assert.False(flight.IsOutOfLeadersTime(null));
    }

    [Fact]
    public void WhatFewFlightsHave_IsNothingUntilItIsSetAndThenWhatWasSet()
    {
        Flight<int, string> flight = New("a");
        Flight<int, string> other = New("b");
        Assert.Null(flight.Outer ?? flight.Batch ?? flight.LeaderDeadline ?? flight.Scope ?? flight.Lease ?? flight.Timer ?? flight.Writing ?? (object?)flight.Failure);
        Assert.Empty(flight.Waits);
        flight.Outer = null;
        Assert.Null(flight.Outer);
        flight.Outer = other;
        Flight[] one = [other];
        Flight[] another = [other]; // as often as it waits for it
        flight.BeginWait(one);
        flight.BeginWait(another);
        flight.EndWait(one);
        var batch = new FlightBatch([flight, other]);
        Assert.Same(other, flight.Outer);
        Assert.Same(another, Assert.Single(flight.Waits));
        Assert.Same(batch, flight.Batch);
        Assert.Same(batch, other.Batch);
        Assert.Same(flight, batch.Lead);
        flight.EndWait(another);
        flight.EndWait(another);
        Assert.Empty(flight.Waits);
        Assert.Same(other, flight.Outer);
    }

    [Fact]
    public void Batch_IsAnsweredWhenTheLastOfItsFlightsIs()
    {
        Flight<int, string>[] flights = [New("a"), New("b"), New("c")];
        var batch = new FlightBatch(flights);
        flights[1].Answer("value", null, CacheOrigin.Source, isStale: false);
        flights[1].Finish(); // counts once
        flights[0].Fail(ExceptionDispatchInfo.Capture(new InvalidDataException()));
        Assert.False(batch.Answered.IsCompleted);
        flights[2].Finish();
        Assert.True(batch.Answered.IsCompletedSuccessfully);
        Assert.True(flights[2].IsOver);
        Assert.False(flights[0].IsOver);
    }

    [Fact]
    public void Stripes_EqualKeys_ShareOneAndAllOfThemAreUsed()
    {
        var owner = new object();
        var stripes = new KeyStripes(owner);
        KeyStripe[] used = [.. Enumerable.Range(0, 100_000).Select(i => stripes[$"key{i}"]).Distinct()];
        Assert.Same(stripes["key"], stripes[new string("key".AsSpan())]);
        Assert.All(used, stripe => Assert.Same(owner, stripe.Owner));
        Assert.InRange(used.Length, 128, 4096);
        Assert.Equal(1, System.Numerics.BitOperations.PopCount((uint)used.Length));
        Assert.True(used.Length >= Math.Min(4096, Environment.ProcessorCount * 32));
    }

    [Fact]
    public void CountFlights_ThoseOfAllStripes()
    {
        var stripes = new KeyStripes(new object());
        Assert.Equal(0, stripes.CountFlights());
        Flight[] flights = [.. Enumerable.Range(0, 300).Select(i => New($"key{i}", stripe: stripes[$"key{i}"]))];
        Assert.Equal(300, stripes.CountFlights());
        flights[7].Finish();
        Assert.Equal(299, stripes.CountFlights());
    }

    private static Task Answered(Flight flight)
    {
        lock (flight.Stripe.Lock)
        {
            return flight.AnsweredUnderLock();
        }
    }

    private Flight<int, string> Answered(string key, TagState tag, bool isStale)
    {
        Flight<int, string> flight = New(key);
        flight.Answer("copy", new SharedEntry<string>("copy") { Tags = [tag] }, CacheOrigin.Local, isStale);
        return flight;
    }

    private Flight<int, string> New(string key, HybridCacheEntryFlags flags = HybridCacheEntryFlags.None, TagState[]? tags = null, Delegate? factory = null, KeyStripe? stripe = null)
    {
        EntryPolicy policy = EntryPolicy.Of(new CacheEntryOptions { TierFlags = flags }, new CacheOptions());
        stripe ??= _stripe;
        var flight = Flight<int, string>.Begin(key, start: 0, policy, tags, stripe, state: 42, factory);
        stripe.AddUnderLock(flight);
        return flight;
    }

    private List<Flight> Listed()
    {
        var listed = new List<Flight>();
        for (Flight? at = _stripe.FirstUnderLock; at is not null; at = at.Next)
        {
            listed.Add(at);
        }

        return listed;
    }
}
