using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using Resilience.Caching.Guard;
using StackExchange.Redis;

namespace Resilience.Redis.Guard;

/// <summary>The journal of a guard in Redis; one object is one node.</summary>
/// <remarks>
/// A position is proved, not believed: with it goes the element that stood there, so that a server that came back with an older state,
/// or filled up again since, is found out. Members of the follower (<see cref="ReadAsync"/> with a lease) are called one at a time.
/// </remarks>
#pragma warning disable CA1001 // semaphores whose wait handle nobody asks for hold nothing to dispose of
internal sealed class RedisGuardJournal(RedisConnection connection, string guard) : IGuardJournal
#pragma warning restore CA1001
{
    private const int ElementBytes = 21;
    private const int MaxElements = 2048;
    private readonly RedisKey[] _keys =
    [
        $"{connection.Options.KeyPrefix}{{guard:{guard}}}:head",
        $"{connection.Options.KeyPrefix}{{guard:{guard}}}:journal",
        $"{connection.Options.KeyPrefix}{{guard:{guard}}}:nodes",
    ];

    private readonly string _channel = $"{connection.Options.KeyPrefix}channel:guard:{guard}";
    private readonly string _node = Guid.NewGuid().ToString("N");
    private readonly SemaphoreSlim _appended = new(0, 1);
    private Task? _subscribing;
    private volatile IConnectionMultiplexer? _subscribed; // through which it was done
    private readonly Lock _lock = new(); // guards the fields below: an answer for which the follower has stopped waiting may come beside its next read
    private (long Position, RedisValue Element) _from = (0, RedisValue.EmptyString); // where the last read that was answered began
    private (long Position, RedisValue Element) _to = (0, RedisValue.EmptyString); // where it ended; the next one begins here, or there again
    private long _token;
    private long _confirmedToken;

    public async ValueTask<GuardJournalHead> OpenAsync(CancellationToken cancellationToken)
    {
        Span<byte> random = stackalloc byte[8];
        RandomNumberGenerator.Fill(random);
        ulong fresh = BinaryPrimitives.ReadUInt64LittleEndian(random) | 1; // never 0
        var answer = (RedisResult[]?)await EvaluateAsync(GuardScript.Open, [Text(fresh)], cancellationToken).ConfigureAwait(false);
        ulong epoch = ulong.Parse((string)answer![0]!, CultureInfo.InvariantCulture);
        return new GuardJournalHead(epoch, (long)answer[2], (long)answer[3], TimeSpan.FromMilliseconds((long)answer[1]));
    }

    public async ValueTask<long> AppendAsync(ulong epoch, IReadOnlyList<ulong> hashes, TimeSpan retention, CancellationToken cancellationToken)
    {
        var values = new RedisValue[hashes.Count + 3];
        values[0] = Text(epoch);
        values[1] = (long)retention.TotalMilliseconds;
        values[2] = _channel;
        for (int i = 0; i < hashes.Count; i++)
        {
            var bytes = new byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, hashes[i]);
            values[i + 3] = bytes;
        }

        return (long)await EvaluateAsync(GuardScript.Append, values, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask<GuardJournalBatch> ReadAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken)
    {
        bool confirms = lease > TimeSpan.Zero;
        (long token, long confirmed, RedisValue proof) = confirms ? BeginRead(position) : (0, 0, RedisValue.EmptyString);
        var answer = (RedisResult[]?)await EvaluateAsync(
            GuardScript.Read,
            [Text(epoch), position, proof, (long)lease.TotalMilliseconds, _node, token, confirmed, MaxElements],
            cancellationToken).ConfigureAwait(false);
        switch ((long)answer![0])
        {
            case -1:
                return GuardJournalBatch.Lost;
            case -2:
                return GuardJournalBatch.Behind;
        }

        var hashes = new ulong[answer.Length - 1];
        for (int i = 0; i < hashes.Length; i++)
        {
            byte[]? element = (byte[]?)answer[i + 1];
            if (element is not { Length: ElementBytes })
            {
                return GuardJournalBatch.Lost;
            }

            hashes[i] = BinaryPrimitives.ReadUInt64LittleEndian(element);
        }

        long end = position + hashes.Length;
        if (confirms)
        {
            EndRead(token, (position, proof), hashes.Length > 0 ? (end, (RedisValue)answer[^1]) : (position, proof));
        }

        return new GuardJournalBatch(false, false, hashes, end, end == (long)answer[0]);
    }

    public async ValueTask<bool> IsConfirmedAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken) =>
        (long)await EvaluateAsync(GuardScript.Confirmed, [Text(epoch), position, (long)lease.TotalMilliseconds, _node], cancellationToken).ConfigureAwait(false) == 1;

    public async ValueTask AbandonAsync(ulong epoch, CancellationToken cancellationToken) =>
        await EvaluateAsync(GuardScript.Abandon, [Text(epoch)], cancellationToken).ConfigureAwait(false);

    public async ValueTask WaitAsync(TimeSpan atMost, CancellationToken cancellationToken)
    {
        // The announcement only shortens the wait: one that is lost, or not subscribed to yet, costs the rest of it.
        Subscribe();
        await _appended.WaitAsync(atMost, cancellationToken).ConfigureAwait(false);
    }

    private (long Token, long Confirmed, RedisValue Proof) BeginRead(long position)
    {
        lock (_lock)
        {
            RedisValue proof = position == _to.Position ? _to.Element : position == _from.Position ? _from.Element : RedisValue.EmptyString;
            return (++_token, _confirmedToken, proof);
        }
    }

    /// <summary>Takes in what a read has proved, unless the follower has gone on to another one.</summary>
    private void EndRead(long token, (long Position, RedisValue Element) from, (long Position, RedisValue Element) to)
    {
        lock (_lock)
        {
            if (token == _token)
            {
                _confirmedToken = token;
                (_from, _to) = (from, to);
            }
        }
    }

    private static string Text(ulong epoch) => epoch.ToString(CultureInfo.InvariantCulture);

    /// <summary>Subscribes, or again where it failed or went with its multiplexer. Called by the follower alone.</summary>
    private void Subscribe()
    {
        if (_subscribing is null || (_subscribing.IsCompleted && (_subscribing.Exception is not null || !connection.IsCurrent(_subscribed))))
        {
            using (ExecutionContext.SuppressFlow())
            {
                _subscribing = Task.Run(async () =>
                {
                    IConnectionMultiplexer multiplexer = await connection.GetAsync().ConfigureAwait(false);
                    await multiplexer.GetSubscriber().SubscribeAsync(new RedisChannel(_channel, RedisChannel.PatternMode.Literal), OnAppended, CommandFlags.None).OnPool();
                    _subscribed = multiplexer;
                });
            }
        }
    }

    private void OnAppended(RedisChannel channel, RedisValue value)
    {
        if (_appended.CurrentCount == 0)
        {
            try
            {
                _appended.Release();
            }
            catch (SemaphoreFullException)
            {
                // Another message has just done it.
            }
        }
    }

    private async Task<RedisResult> EvaluateAsync(string script, RedisValue[] values, CancellationToken cancellationToken)
    {
        IConnectionMultiplexer multiplexer = await connection.GetAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        return await multiplexer.GetDatabase().ScriptEvaluateAsync(script, _keys, values, CommandFlags.None).WaitAsync(cancellationToken).OnPool();
    }
}
