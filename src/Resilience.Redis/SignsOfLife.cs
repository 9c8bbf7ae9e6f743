using System.Net;
using StackExchange.Redis;

namespace Resilience.Redis;

/// <summary>Who answers through a multiplexer and who does not: each server, commands wherever they go, and the connection for messages.</summary>
internal sealed class SignsOfLife
{
    internal const string Commands = "commands";
    internal const string Messages = "messages";

    public HashSet<string> Answered { get; } = new(StringComparer.Ordinal);

    public HashSet<string> Silent { get; } = new(StringComparer.Ordinal);

    /// <summary>Pings all of them at once.</summary>
    /// <param name="multiplexer">Through what.</param>
    /// <param name="ofMessages">Whether the connection for messages is asked too.</param>
    /// <param name="patience">How long to wait for an answer.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Ends the wait, as silence.</param>
    public static async Task<SignsOfLife> AskAsync(IConnectionMultiplexer multiplexer, bool ofMessages, TimeSpan patience, TimeProvider time, CancellationToken cancellationToken)
    {
        var asked = new List<(string Name, Task<bool> Answers)> { (Commands, AnswersAsync(() => multiplexer.GetDatabase())) };
        foreach (EndPoint endPoint in multiplexer.GetEndPoints(configuredOnly: false))
        {
            asked.Add((endPoint is DnsEndPoint named ? $"{named.Host}:{named.Port}" : endPoint.ToString()!, AnswersAsync(() => multiplexer.GetServer(endPoint))));
        }

        if (ofMessages)
        {
            asked.Add((Messages, AnswersAsync(() => multiplexer.GetSubscriber())));
        }

        var signs = new SignsOfLife();
        foreach ((string name, Task<bool> answers) in asked)
        {
            (await answers.ConfigureAwait(false) ? signs.Answered : signs.Silent).Add(name);
        }

        return signs;

        async Task<bool> AnswersAsync(Func<IRedisAsync> get)
        {
            try
            {
                Task<TimeSpan> ping = get().PingAsync(CommandFlags.None);
                ping.Observe();
                await ping.WaitAsync(patience, time, cancellationToken).OnPool();
                return true;
            }
            catch (Exception exception)
            {
                // An error that the server said, or a command that the client may not send, is no silence.
                return exception is not (RedisConnectionException or TimeoutException or ObjectDisposedException or OperationCanceledException);
            }
        }
    }
}
