using Resilience.Caching.Guard;
using Resilience.Redis.Guard;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Guard;

public sealed class RedisGuardJournalTests : IAsyncLifetime
{
    private static readonly TimeSpan Lease = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Retention = TimeSpan.FromMinutes(1);
    private RedisServer _redis = null!;
    private RedisConnection _connection = null!;
    private RedisGuardJournal _journal = null!;

    public async ValueTask InitializeAsync()
    {
        _redis = await RedisServer.StartNewAsync();
        _connection = new RedisConnection(new RedisOptions { Configuration = _redis.Endpoint });
        _journal = new RedisGuardJournal(_connection, "products");
    }

    public async ValueTask DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _redis.DisposeAsync();
    }

    [Fact]
    public async Task Append_Hashes_AreReadBackInOrderByAnyNode()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        Assert.Equal(3, await _journal.AppendAsync(epoch, [7, ulong.MaxValue, 0], Retention, default));
        var other = new RedisGuardJournal(_connection, "products");
        GuardJournalHead head = await other.OpenAsync(default);
        Assert.Equal((epoch, 0L, 3L), (head.Epoch, head.First, head.Position));
        GuardJournalBatch batch = await other.ReadAsync(epoch, 1, TimeSpan.Zero, default);
        Assert.Equal([ulong.MaxValue, 0UL], batch.Hashes);
        Assert.Equal((false, 3L, true), (batch.IsLost, batch.Position, batch.IsEnd));
    }

    [Fact]
    public async Task Append_MoreThanABatch_IsReadInPieces()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        ulong[] hashes = [.. Enumerable.Range(1, 3_000).Select(i => (ulong)i)];
        await _journal.AppendAsync(epoch, hashes, Retention, default);
        GuardJournalBatch first = await _journal.ReadAsync(epoch, 0, Lease, default);
        Assert.False(first.IsEnd);
        GuardJournalBatch second = await _journal.ReadAsync(epoch, first.Position, Lease, default);
        Assert.True(second.IsEnd);
        ulong[] read = [.. first.Hashes, .. second.Hashes];
        Assert.Equal(hashes, read);
    }

    [Fact]
    public async Task Append_OlderThanTheRetention_IsForgottenAndWhoeverWasThereIsBehind()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        await _journal.AppendAsync(epoch, [1, 2], TimeSpan.Zero, default);
        await WaitForMillisecondAsync();
        await _journal.AppendAsync(epoch, [3], TimeSpan.Zero, default);
        GuardJournalHead head = await _journal.OpenAsync(default);
        Assert.Equal((2L, 3L), (head.First, head.Position));
        GuardJournalBatch batch = await _journal.ReadAsync(epoch, 1, Lease, default);
        Assert.True(batch.IsLost && batch.IsBehind);
    }

    [Fact]
    public async Task Read_AfterTheServerLostEverything_IsLost()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        await _journal.AppendAsync(epoch, [1], Retention, default);
        await EvalAsync("return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])");
        Assert.True((await _journal.ReadAsync(epoch, 1, Lease, default)) is { IsLost: true, IsBehind: false });
        Assert.Equal(-1, await _journal.AppendAsync(epoch, [2], Retention, default));
        Assert.NotEqual(epoch, (await _journal.OpenAsync(default)).Epoch);
    }

    [Fact]
    public async Task Read_AfterTheServerLostTheTailAndFilledUpAgain_IsLost()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        await _journal.AppendAsync(epoch, [1, 2], Retention, default);
        GuardJournalBatch batch = await _journal.ReadAsync(epoch, 0, Lease, default);
        await EvalAsync("redis.call('RPOP', KEYS[2]) return redis.call('HINCRBY', KEYS[1], 'end', -1)");
        await new RedisGuardJournal(_connection, "products").AppendAsync(epoch, [9, 10], Retention, default);
        Assert.True((await _journal.ReadAsync(epoch, batch.Position, Lease, default)) is { IsLost: true, IsBehind: false });
    }

    /// <summary>The follower gives up a read whose answer comes late, and reads again from where it was: what stood there is still to be proved.</summary>
    [Fact]
    public async Task Read_AgainFromWhereItWasAfterTheServerLostTheTailAndFilledUpAgain_IsLost()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        await _journal.AppendAsync(epoch, [1, 2], Retention, default);
        long position = (await _journal.ReadAsync(epoch, 0, Lease, default)).Position;
        await _journal.AppendAsync(epoch, [3], Retention, default);
        await _journal.ReadAsync(epoch, position, Lease, default); // comes too late for the follower
        await EvalAsync("redis.call('RPOP', KEYS[2]) redis.call('RPOP', KEYS[2]) return redis.call('HINCRBY', KEYS[1], 'end', -2)");
        await new RedisGuardJournal(_connection, "products").AppendAsync(epoch, [9, 10], Retention, default);
        Assert.True((await _journal.ReadAsync(epoch, position, Lease, default)) is { IsLost: true, IsBehind: false });
    }

    [Fact]
    public async Task IsConfirmed_OtherNodeLagging_IsNoUntilItHasReadAndSaidSo()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        var other = new RedisGuardJournal(_connection, "products");
        await other.ReadAsync(epoch, 0, Lease, default);
        await _journal.ReadAsync(epoch, 0, Lease, default);
        long position = await _journal.AppendAsync(epoch, [1], Retention, default);
        Assert.False(await _journal.IsConfirmedAsync(epoch, position, TimeSpan.Zero, default));
        Assert.Equal([1UL], (await other.ReadAsync(epoch, 0, Lease, default)).Hashes);
        Assert.False(await _journal.IsConfirmedAsync(epoch, position, TimeSpan.Zero, default)); // handed out, not yet taken over
        await other.ReadAsync(epoch, 1, Lease, default);
        Assert.True(await _journal.IsConfirmedAsync(epoch, position, TimeSpan.Zero, default));
    }

    [Fact]
    public async Task IsConfirmed_OwnConfirmationsNotOldEnough_IsNo()
    {
        ulong epoch = (await _journal.OpenAsync(default)).Epoch;
        long position = await _journal.AppendAsync(epoch, [1], Retention, default);
        Assert.False(await _journal.IsConfirmedAsync(epoch, position, TimeSpan.Zero, default)); // never read
        await _journal.ReadAsync(epoch, 0, Lease, default);
        Assert.True(await _journal.IsConfirmedAsync(epoch, position, TimeSpan.Zero, default));
        Assert.False(await _journal.IsConfirmedAsync(epoch, position, TimeSpan.FromMinutes(1), default));
    }

    private Task EvalAsync(string script) => Task.Run(async () =>
        await (await _connection.GetAsync()).GetDatabase().ScriptEvaluateAsync(script, ["{guard:products}:head", "{guard:products}:journal", "{guard:products}:nodes"]));

    private async Task WaitForMillisecondAsync()
    {
        // The server's clock decides on age, in milliseconds: each round trip is a part of one.
        for (int i = 0; i < 100; i++)
        {
            await _journal.OpenAsync(default);
        }
    }
}
