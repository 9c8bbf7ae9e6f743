using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Caching.Shared;
using Resilience.Degrade;
using Resilience.Redis.Caching;
using Resilience.Redis.Guard;
using Resilience.Redis.Overrides;
using Resilience.Redis.RateLimiting;
using Resilience.Redis.Tests.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests;

/// <summary>The client completes its answers one after another: nothing of ours, and nothing of the application's, may run in that place.</summary>
public sealed class ClientThreadTests(SharedRedis redis)
{
    [Fact]
    public async Task Members_Awaited_NeverGoOnOnTheClientsThread()
    {
        RedisServer server = await redis.GetAsync();
        await using var connection = new RedisConnection(new RedisOptions { Configuration = server.Endpoint, KeyPrefix = $"{Guid.NewGuid():N}:" });
        var tier = new RedisSharedTier(connection);
        var leases = new RedisLeaseStore(connection);
        var backplane = new RedisBackplane(connection);
        var journal = new RedisGuardJournal(connection, "guard");
        var ledger = new RedisPermitLedger(connection, "limit");
        var overrides = new RedisOverrideStore(connection, new OverrideCodec(new byte[32]), TimeProvider.System, NullLogger<RedisOverrideStore>.Instance);
        byte[] value = SharedEnvelope.NewTombstone();
        TimeSpan minute = TimeSpan.FromMinutes(1);
        ulong epoch = (await journal.OpenAsync(default)).Epoch;
        (string Name, Func<Task> Call)[] calls =
        [
            ("connect", () => new RedisConnection(connection.Options).GetAsync()),
            ("ping", () => connection.TryPingAsync(minute).AsTask()),
            ("read", () => tier.ReadAsync("key", default)),
            ("read many", () => tier.ReadManyAsync(["key", "other"], default)),
            ("write", () => tier.WriteAsync(new SharedWrite("key", value, minute), default)),
            ("compare and set", () => tier.WriteAsync(new SharedWrite("key", value, minute, IsConditional: true, Expected: 1), default)),
            ("expire", () => tier.ExpireAsync("key", 1, minute, default)),
            ("read versions", () => tier.ReadVersionsAsync(["one", Guid.NewGuid().ToString()], [default, default], default)),
            ("raise version", () => tier.RaiseVersionAsync("one", true, default, default)),
            ("acquire", () => leases.TryAcquireAsync("key", "token", minute, default)),
            ("renew", () => leases.TryRenewAsync("key", "token", minute, default)),
            ("release", () => leases.ReleaseAsync("key", "token", default)),
            ("subscribe", () => backplane.SubscribeAsync(Guid.NewGuid().ToString(), _ => { }, _ => { }, default)),
            ("publish", () => backplane.PublishAsync("channel", [1], default)),
            ("open", () => journal.OpenAsync(default).AsTask()),
            ("append", () => journal.AppendAsync(epoch, [1], minute, default).AsTask()),
            ("read journal", () => journal.ReadAsync(epoch, 0, TimeSpan.Zero, default).AsTask()),
            ("confirmed", () => journal.IsConfirmedAsync(epoch, 0, minute, default).AsTask()),
            ("take permits", () => ledger.TakeAsync(1, 1, 1, 1)),
            ("load overrides", () => overrides.LoadAsync(default).AsTask()),
            ("append an override", () => overrides.AppendAsync(new OverrideCommand { Feature = Guid.NewGuid().ToString(), Reason = "a test", Who = "the test", IssuedAt = DateTimeOffset.UnixEpoch }, default).AsTask()),
            ("abandon", () => journal.AbandonAsync(1, default).AsTask()),
        ];
        var inline = new ConcurrentDictionary<string, string>();
        foreach ((string name, Func<Task> call) in calls)
        {
            // Several at once: one that is complete before anybody awaits it proves nothing.
            await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => call().ContinueWith(
                task =>
                {
                    string stack = Environment.StackTrace;
                    if (stack.Contains("StackExchange.Redis", StringComparison.Ordinal))
                    {
                        inline[name] = stack;
                    }

                    return task;
                },
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default).Unwrap()));
        }

        Assert.Empty(inline);
    }

    [Fact]
    public async Task Read_ApplicationBlocksAfterIt_OthersAreAnswered()
    {
        RedisServer server = await redis.GetAsync();
        await using var connection = new RedisConnection(new RedisOptions { Configuration = server.Endpoint, KeyPrefix = $"{Guid.NewGuid():N}:" });
        var tier = new RedisSharedTier(connection);
        Assert.NotNull(await connection.TryPingAsync(TimeSpan.FromMinutes(1)));
        using var release = new ManualResetEventSlim();
        using var blocked = new CountdownEvent(4);
        Task[] blockers = [.. Enumerable.Range(0, blocked.InitialCount).Select(i => Task.Run(async () =>
        {
            await tier.ReadAsync($"key{i}", default).ConfigureAwait(false);
            blocked.Signal();
            release.Wait(TimeSpan.FromSeconds(120)); // an application that does what it should not
        }))];
        try
        {
            await Eventually.TrueAsync(() => blocked.IsSet, "all block");
            for (int i = 0; i < 20; i++)
            {
                await tier.ReadAsync("other", default).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            }
        }
        finally
        {
            release.Set();
            await Task.WhenAll(blockers);
        }
    }
}
