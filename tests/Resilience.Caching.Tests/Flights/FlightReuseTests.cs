using System.Collections.Concurrent;
using System.Reflection;
using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Flights;

/// <summary>A flight that nobody but its leader has seen is used again; one that anybody may still hold is not.</summary>
public sealed class FlightReuseTests
{
    private static readonly Func<string, CancellationToken, ValueTask<string>> AtOnce = static (state, _) => new ValueTask<string>(state);

    [Fact]
    public void Miss_FactoryThatCompletesAtOnce_UsesTheFlightOfTheMissBefore()
    {
        using ResilientCache cache = TestCache.New();
        Flight spare = Spare(cache);
        for (int i = 0; i < 3; i++)
        {
            string name = $"name{i}";
            ValueTask<string> read = cache.GetOrCreateAsync(name, name, AtOnce);
            Assert.True(read.IsCompletedSuccessfully);
            Assert.Equal(name, read.Result);
        }

        Assert.Same(spare, Begin(cache));
    }

    [Theory]
    [InlineData("joined")]
    [InlineData("held")]
    [InlineData("seen")]
    [InlineData("waited for")]
    [InlineData("not over")]
    public void Recycle_SomebodyMayHoldIt_DoesNothing(string why)
    {
        using ResilientCache cache = TestCache.New();
        Flight<string, string> flight = Begin(cache);
        switch (why)
        {
            case "joined":
                flight.Waiters++;
                break;
            case "held":
                flight.IsHeld = true;
                break;
            case "seen":
                Assert.Same(flight, flight.Cancellation.Flight);
                break;
            case "waited for":
                Assert.False(flight.AnsweredUnderLock().IsCompleted);
                break;
        }

        if (why != "not over")
        {
            flight.Finish();
        }

        flight.Recycle();
        Assert.Equal("key", flight.Key);
        Assert.NotSame(flight, Begin(cache));
    }

    /// <summary>Every field there is: whatever a flight learns to remember is to be forgotten too.</summary>
    [Fact]
    public void Recycle_FlightThatHadEverything_IsAsNew()
    {
        using ResilientCache cache = TestCache.New();
        Flight<string, string> flight = Begin(cache);
        flight.Tags = [new TagState("tag")];
        flight.Outer = null; // neither of these two makes it one that has what few flights have
        flight.LeaderDeadline = null;
        var copy = new SharedEntry<string>("copy");
        flight.Stale = copy;
        Assert.True(flight.Answer("value", copy, CacheOrigin.Shared, isStale: true));
        flight.IsDoomed = flight.IsCommitted = flight.IsRefresh = flight.SoftPassed = flight.HasPermit = flight.IsAbandoned = true;
        flight.BeganAt = 1;
        flight.Finish();
        flight.Next = Begin(cache);
        flight.IsListed = true;
        flight.Recycle();
        for (Type? type = flight.GetType(); type is not null; type = type.BaseType)
        {
            foreach (FieldInfo field in type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            {
                object? nothing = field.FieldType.IsValueType ? Activator.CreateInstance(field.FieldType) : null;
                Assert.True(Equals(nothing, field.GetValue(flight)), field.Name);
            }
        }

        Assert.Same(flight, Begin(cache));
        Assert.NotSame(flight, Begin(cache)); // one load at a time
    }

    private static Flight<string, string> Begin(ResilientCache cache)
    {
        var flight = Flight<string, string>.Begin("key", 0, cache.Core.Policies.Default, null, cache.Core.Stripes["key"], "state", AtOnce);
        flight.Waiters++;
        return flight;
    }

    /// <summary>Leaves a flight for the next miss of this thread.</summary>
    private static Flight Spare(ResilientCache cache)
    {
        Flight flight = Begin(cache);
        flight.Finish();
        flight.Recycle();
        Assert.Null(flight.Key);
        return flight;
    }

    [Fact]
    public async Task Begin_FlightThatAFactoryHasSeen_IsNotUsedAgain()
    {
        await using ResilientCache cache = TestCache.New();
        var seen = new HashSet<object>(ReferenceEqualityComparer.Instance);
        for (int i = 0; i < 10; i++)
        {
            await cache.GetAsync($"key{i}", _ =>
            {
                Assert.True(seen.Add(Reentrancy.Current!));
                return new ValueTask<string>("value");
            });
        }
    }

    [Fact]
    public void Recycle_KeepsNothingOfTheLoad() => LeakAssert.Collected(async probe =>
    {
        ResilientCache cache = TestCache.New();
        probe.Keep(cache);
        object state = probe.Track(new object(), "state");
        string value = probe.Track(new string('x', 10), "value");
        Assert.Same(value, await cache.GetOrCreateAsync("key", (state, value), static (call, _) => new ValueTask<string>(call.value)));
        await cache.RemoveAsync("key");
    });

    [Fact]
    public async Task Recycle_WhateverFactoriesLeaveBehind_EveryCallerGetsTheValueOfItsOwnKey()
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.Expiration = TimeSpan.FromHours(1));
        var failures = new ConcurrentQueue<Exception>();
        await new StressRunner().RunAsync(async worker =>
        {
            int key = worker.Random.Next(16);
            int how = worker.Random.Next(6);
            string value = await cache.GetAsync($"key{key}", async token =>
            {
                switch (how)
                {
                    case 0:
                        await Task.Yield();
                        break;
                    case 1:
                        Assert.Equal("inner", await cache.GetAsync($"inner{worker.Random.Next(4)}", "inner"));
                        break;
                    case 2:
                        // Left behind with the factory's ambient context, and still at it when the flight is over.
                        _ = Task.Run(() => ReadAgainAsync(cache, key, failures), CancellationToken.None);
                        break;
                    case 3:
                        await Task.Delay(1, CancellationToken.None);
                        break;
                }

                Assert.False(token.IsCancellationRequested);
                return $"value{key}";
            });
            Assert.Equal($"value{key}", value);
            if (worker.Random.Next(3) == 0)
            {
                await cache.RemoveAsync($"key{key}");
                await cache.RemoveAsync($"inner{worker.Random.Next(4)}");
            }
        });
        TestCache.Until(() => cache.Snapshot().Flights == 0 && cache.Core.LoadPermits.CurrentCount == 1024, "the flights' end, and that of what the factories left behind");
        Assert.Empty(failures);
    }

    private static async Task ReadAgainAsync(ResilientCache cache, int key, ConcurrentQueue<Exception> failures)
    {
        try
        {
            Assert.Equal($"value{key}", await cache.GetAsync($"key{key}", $"value{key}"));
        }
        catch (CacheReentrancyException)
        {
            // The factory has not come to its end yet, and it might wait for us.
        }
        catch (Exception exception)
        {
            failures.Enqueue(exception);
        }
    }
}
