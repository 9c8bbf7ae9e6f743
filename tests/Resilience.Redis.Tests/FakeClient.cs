using System.Net;
using System.Reflection;
using StackExchange.Redis;

namespace Resilience.Redis.Tests;

/// <summary>A multiplexer of one server, connected all the time, that answers pings or stays silent as a test wills it. Thread-safe.</summary>
internal sealed class FakeClient
{
    private readonly Lock _lock = new(); // guards _silent, _pings
    private readonly HashSet<string> _silent = new(StringComparer.Ordinal);
    private int _pings;

    public FakeClient() => Multiplexer = (IConnectionMultiplexer)Proxy.Make(typeof(IConnectionMultiplexer), this);

    public IConnectionMultiplexer Multiplexer { get; }

    /// <summary>What a ping is answered with, when it is an error.</summary>
    public Exception? Error { get; init; }

    /// <summary>Whether what is silent fails at once, as without a connection, or never answers.</summary>
    public bool FailsAtOnce { get; init; }

    public bool IsClosed { get; private set; }

    public int Pings
    {
        get
        {
            lock (_lock)
            {
                return _pings;
            }
        }
    }

    /// <summary>Answers no more, or again: <c>commands</c>, <c>messages</c> or the server's name.</summary>
    public void Silence(string name, bool isSilent = true)
    {
        lock (_lock)
        {
            _ = isSilent ? _silent.Add(name) : _silent.Remove(name);
        }
    }

    /// <summary>An exception as the client throws it; its constructors are not public.</summary>
    public static T Failure<T>(params object[] arguments)
        where T : Exception => (T)Activator.CreateInstance(typeof(T), BindingFlags.Instance | BindingFlags.NonPublic, null, arguments, null)!;

    private Task<TimeSpan> PingAsync(Type through)
    {
        string name = through == typeof(IDatabase) ? "commands" : through == typeof(ISubscriber) ? "messages" : "server:6379";
        lock (_lock)
        {
            _pings++;
            if (Error is not null)
            {
                return Task.FromException<TimeSpan>(Error);
            }

            return !_silent.Contains(name) ? Task.FromResult(TimeSpan.FromMilliseconds(1))
                : FailsAtOnce ? Task.FromException<TimeSpan>(Failure<RedisConnectionException>(ConnectionFailureType.UnableToResolvePhysicalConnection, "no connection"))
                : new TaskCompletionSource<TimeSpan>().Task;
        }
    }

    /// <summary>The client's interfaces, but for what is used here.</summary>
    private class Proxy : DispatchProxy
    {
        private FakeClient _client = null!;
        private Type _type = null!;

        public static object Make(Type type, FakeClient client)
        {
            object made = Create(type, typeof(Proxy));
            ((Proxy)made)._client = client;
            ((Proxy)made)._type = type;
            return made;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            switch (targetMethod!.Name)
            {
                case "GetDatabase" or "GetServer" or "GetSubscriber":
                    return Make(targetMethod.ReturnType, _client);
                case "GetEndPoints":
                    return new EndPoint[] { new DnsEndPoint("server", 6379) };
                case "PingAsync":
                    return _client.PingAsync(_type);
                case "CloseAsync":
                    return Task.CompletedTask;
                case "Dispose":
                    _client.IsClosed = true;
                    return null;
                default:
                    throw new NotSupportedException(targetMethod.Name);
            }
        }
    }
}
