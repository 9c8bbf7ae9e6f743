using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using StackExchange.Redis;

namespace Resilience.Redis.Overrides;

/// <summary>
/// Keeps and shares overrides in Redis: one hash with the last command of each feature, as a signed text, and one channel. What carries no right
/// signature is not handed out and counts for nothing, so whoever can write to Redis can neither make a command nor change one.
/// </summary>
/// <remarks>
/// There is no counter that could be tampered with: a revision is part of what is signed, and a new one is above all that the node and the hash know.
/// Two nodes that speak of one feature at once are put in an order by a compare-and-set on the text. Nor is a message believed more than the hash: it
/// carries the same text, and one that is lost is made good by the next load.
/// </remarks>
internal sealed class RedisOverrideStore(RedisConnection connection, OverrideCodec codec, TimeProvider time, ILogger<RedisOverrideStore> logger) : IOverrideStore
{
    /// <summary>How long an operator waits for Redis.</summary>
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    /// <summary>How long a silent channel is believed before the subscription is made anew: the client can lose it without a word.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromMinutes(1);

    /// <summary>No command holds longer than a day; its text outlives it, so that an older one cannot come back in its place.</summary>
    private const long LifetimeMilliseconds = 49L * 60 * 60 * 1000;

    private const int MaxAttempts = 20;
    private const int MaxText = 64 * 1024;

    /// <summary>KEYS: commands. ARGV: feature, text that must be there or nothing, new text, channel, lifetime.</summary>
    private const string Replace =
        """
        if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
        redis.call('PEXPIRE', KEYS[1], ARGV[5])
        redis.call('PUBLISH', ARGV[4], ARGV[3])
        return 1
        """;

    private readonly RedisKey[] _commands = [$"{connection.Options.KeyPrefix}overrides"];
    private readonly string _channel = $"{connection.Options.KeyPrefix}channel:overrides";
    private readonly ConcurrentDictionary<string, bool> _told = new(StringComparer.Ordinal); // the texts that were refused, so that each is told once

    public async ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken)
    {
        // A right text in another's field says nothing of that other: the feature is part of what is signed.
        HashEntry[] entries = await ReadAllAsync(cancellationToken).ConfigureAwait(false);
        return [.. entries.Select(entry => Read(entry.Value)).OfType<OverrideCommand>()];
    }

    public async ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(command);
        RedisValue field = command.Feature.ToUpperInvariant();
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            RedisValue before = RedisValue.EmptyString;
            long highest = command.Revision;
            foreach (HashEntry entry in await ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                before = entry.Name == field ? entry.Value : before;
                highest = Math.Max(highest, Read(entry.Value)?.Revision ?? 0);
            }

            OverrideCommand kept = command with { Revision = highest + 1 };
            IDatabase database = await DatabaseAsync(cancellationToken).ConfigureAwait(false);
            RedisResult replaced = await Bounded(
                database.ScriptEvaluateAsync(Replace, _commands, [field, before, codec.Write(kept), _channel, LifetimeMilliseconds], CommandFlags.None),
                cancellationToken).OnPool();
            if ((long)replaced == 1)
            {
                return kept;
            }
        }

        throw new InvalidOperationException($"The override of feature '{command.Feature}' could not be kept: others wrote of the same feature {MaxAttempts} times in between.");
    }

    public async IAsyncEnumerable<OverrideCommand> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var channel = new RedisChannel(_channel, RedisChannel.PatternMode.Literal);

        // What overflows is made good by the next load, like any message that is lost.
        var inbox = Channel.CreateBounded<RedisValue>(new BoundedChannelOptions(256) { SingleReader = true, FullMode = BoundedChannelFullMode.DropWrite });
        Action<RedisChannel, RedisValue> hear = (_, text) => inbox.Writer.TryWrite(text);
        EventHandler<ConnectionFailedEventArgs> changed = (_, _) => inbox.Writer.TryComplete();
        EventHandler replaced = (_, _) => inbox.Writer.TryComplete();
        IConnectionMultiplexer? multiplexer = null;
        connection.Replaced += replaced; // first: whoever is given a multiplexer that is about to go must hear of it
        try
        {
            multiplexer = await Bounded(connection.GetAsync(), cancellationToken).ConfigureAwait(false);
            multiplexer.ConnectionFailed += changed;
            multiplexer.ConnectionRestored += changed;
            await Bounded(AsResult(multiplexer.GetSubscriber().SubscribeAsync(channel, hear, CommandFlags.None)), cancellationToken).OnPool();
            while (await HasMoreAsync(inbox.Reader, cancellationToken).ConfigureAwait(false))
            {
                while (inbox.Reader.TryRead(out RedisValue text))
                {
                    if (Read(text) is { } command)
                    {
                        yield return command;
                    }
                }
            }
        }
        finally
        {
            connection.Replaced -= replaced;
            if (multiplexer is not null)
            {
                multiplexer.ConnectionFailed -= changed;
                multiplexer.ConnectionRestored -= changed;
                Unsubscribe(multiplexer, channel, hear);
            }
        }
    }

    private static void Unsubscribe(IConnectionMultiplexer multiplexer, RedisChannel channel, Action<RedisChannel, RedisValue> hear)
    {
        try
        {
            // Not waited for: without a connection the client answers to this only when there is one again.
            multiplexer.GetSubscriber().UnsubscribeAsync(channel, hear, CommandFlags.FireAndForget).Observe();
        }
        catch (Exception)
        {
            // The multiplexer was closed, which this client says in several ways, and the subscription is gone with it.
        }
    }

    /// <summary>Whether a message has come; not, once the connection was lost or nothing has come for so long that it may have been.</summary>
    private async Task<bool> HasMoreAsync(ChannelReader<RedisValue> reader, CancellationToken cancellationToken)
    {
        using var silence = new CancellationTokenSource(Silence, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancellationToken);
        try
        {
            return await reader.WaitToReadAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private OverrideCommand? Read(RedisValue value)
    {
        string text = (string?)value ?? "";
        string? problem = "it is too long";
        OverrideCommand? command = text.Length > MaxText ? null : codec.TryRead(text, out problem);
        if (command is null && _told.Count < 1_000 && _told.TryAdd(text.Length > 1_000 ? text[..1_000] : text, true))
        {
            RedisLog.OverrideUnreadable(logger, problem!);
        }

        return command;
    }

    private async ValueTask<HashEntry[]> ReadAllAsync(CancellationToken cancellationToken)
    {
        IDatabase database = await DatabaseAsync(cancellationToken).ConfigureAwait(false);
        return await Bounded(database.HashGetAllAsync(_commands[0], CommandFlags.None), cancellationToken).OnPool();
    }

    private async ValueTask<IDatabase> DatabaseAsync(CancellationToken cancellationToken) =>
        (await Bounded(connection.GetAsync(), cancellationToken).ConfigureAwait(false)).GetDatabase();

    private Task<T> Bounded<T>(Task<T> task, CancellationToken cancellationToken)
    {
        task.Observe();
        return task.WaitAsync(Timeout, time, cancellationToken);
    }

    private static async Task<bool> AsResult(Task task)
    {
        await task.ConfigureAwait(false);
        return true;
    }
}
