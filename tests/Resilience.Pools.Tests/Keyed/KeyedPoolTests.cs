using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Keyed;

public sealed class KeyedPoolTests
{
    private readonly Factory _factory = new();

    private KeyedResourcePool<string, Resource> Make(int perKey, int total, TimeProvider? time = null) =>
        new("keyed", _ => _factory, new KeyedPoolOptions { PerKey = new PoolOptions { MaxSize = perKey, AcquireTimeout = TimeSpan.FromSeconds(28) }, MaxTotal = total, KeyIdleTimeout = TimeSpan.FromSeconds(60) }, time);

    [Fact]
    public async Task AcquireAsync_OneKeyIsFull_OtherKeysAreServed()
    {
        await using KeyedResourcePool<string, Resource> pool = Make(perKey: 1, total: 10);
        PoolLease<Resource> a = await pool.AcquireAsync("a");
        Task<PoolLease<Resource>> blocked = pool.AcquireAsync("a").AsTask();
        (await pool.AcquireAsync("b")).Dispose();
        Assert.False(blocked.IsCompleted);
        a.Dispose();
        (await blocked).Dispose();
        Assert.Equal(2, pool.KeyCount);
    }

    [Fact]
    public async Task AcquireAsync_TotalIsTaken_AnotherKeysIdleOneMakesRoom()
    {
        await using KeyedResourcePool<string, Resource> pool = Make(perKey: 2, total: 2);
        (await pool.AcquireAsync("a")).Dispose();
        using PoolLease<Resource> b = await pool.AcquireAsync("b");
        using PoolLease<Resource> c = await pool.AcquireAsync("c");
        Assert.Equal(2, _factory.MostAlive);
    }

    [Fact]
    public async Task AcquireAsync_TotalIsLeased_TheNextReturnMakesRoom()
    {
        await using KeyedResourcePool<string, Resource> pool = Make(perKey: 2, total: 1);
        PoolLease<Resource> a = await pool.AcquireAsync("a");
        Task<PoolLease<Resource>> b = pool.AcquireAsync("b").AsTask();
        Assert.False(b.IsCompleted);
        a.Dispose();
        (await b).Dispose();
        Assert.Equal(1, _factory.MostAlive);
    }

    /// <summary>What comes back to a busy key would be handed to the next of its own callers, and the other keys' would wait for ever.</summary>
    [Fact]
    public async Task AcquireAsync_OneKeyIsAlwaysBusy_TheOthersGetTheirShare()
    {
        var time = new ManualTimeProvider();
        KeyedResourcePool<string, Resource> pool = Make(perKey: 4, total: 4, time);
        PoolLease<Resource>[] busy = [await pool.AcquireAsync("a"), await pool.AcquireAsync("a"), await pool.AcquireAsync("a"), await pool.AcquireAsync("a")];
        Task<PoolLease<Resource>>[] queued = [.. Enumerable.Range(0, 8).Select(_ => pool.AcquireAsync("a").AsTask())];
        for (int i = 0; i < 2; i++)
        {
            Task<PoolLease<Resource>> other = pool.AcquireAsync("b").AsTask();
            busy[i].Dispose();
            await other.WaitAsync(TimeSpan.FromMinutes(1));
            Assert.DoesNotContain(queued, static wait => wait.IsCompleted);
        }

        // Two each: now what comes back stays with its key.
        Task<PoolLease<Resource>> third = pool.AcquireAsync("b").AsTask();
        busy[2].Dispose();
        await queued[0].WaitAsync(TimeSpan.FromMinutes(1));
        Assert.False(third.IsCompleted);
        Assert.Equal((2, 2, 4), (pool.Snapshot("a")!.Open, pool.Snapshot("b")!.Open, _factory.MostAlive));
    }

    [Fact]
    public async Task Keys_Unused_Vanish()
    {
        var time = new ManualTimeProvider();
        KeyedResourcePool<string, Resource> pool = Make(perKey: 1, total: 10, time);
        (await pool.AcquireAsync("a")).Dispose();
        using PoolLease<Resource> held = await pool.AcquireAsync("b");
        time.Advance(TimeSpan.FromSeconds(91));
        Assert.Equal(1, pool.KeyCount);
        await Eventually.TrueAsync(() => _factory.Alive == 1, "the idle key's resource");
        (await pool.AcquireAsync("a")).Dispose();
    }

    [Fact]
    public async Task Keys_Vanish_TotalsDoNotFall()
    {
        var time = new ManualTimeProvider();
        KeyedResourcePool<string, Resource> pool = Make(perKey: 1, total: 10, time);
        for (int i = 0; i < 3; i++)
        {
            PoolLease<Resource> lease = await pool.AcquireAsync("a");
            lease.Dispose();
            lease.Dispose();
            time.Advance(TimeSpan.FromSeconds(91));
            Assert.Equal(0, pool.KeyCount);
            Assert.Equal((i + 1L, i + 1L), (pool.Snapshot().Created, pool.Snapshot().StaleReturns));
        }

        await Eventually.TrueAsync(() => pool.Snapshot() is { Open: 0, Destroyed: 3 }, "the end of what the keys had");
    }

    [Fact]
    public async Task RunAsync_OneKey_LeasesTagsAndReturns()
    {
        await using KeyedResourcePool<string, Resource> pool = Make(perKey: 1, total: 10);
        Assert.False(pool.TryAcquire("a", out _));
        Assert.Equal(0, pool.KeyCount);
        Resource? seen = null;
        await pool.RunAsync("a", (resource, state, _) =>
        {
            seen = resource;
            return state;
        }, Task.CompletedTask);
        Assert.Equal(9, await pool.RunAsync("a", static (_, state, _) => Task.FromResult(state + 2), 7));
        Assert.Equal(9, await pool.RunAsync("a", static (_, state, _) => ValueTask.FromResult(state + 2), 7));
        await pool.RunAsync("a", static (_, _, _) => default(ValueTask), 0);
        Assert.True(pool.TryAcquire("a", out PoolLease<Resource> taken));
        Assert.Same(seen, taken.Resource);
        taken.Dispose();
        await Assert.ThrowsAsync<IOException>(async () => await pool.RunAsync("a", static (_, _, _) => Task.FromException(new IOException()), 0));
        await Eventually.TrueAsync(() => seen!.IsDestroyed, "the broken one's end");
        using PoolLease<Resource> tagged = await pool.AcquireAsync("a", new PoolRequest { Tag = "invoice" });
        Assert.Equal("invoice", Assert.Single(pool.Snapshot().Holders).Tag);
        await pool.ClearKeyAsync("a");
        await pool.ClearKeyAsync("nobody");
    }

    [Fact]
    public async Task Stress_ManyKeysUnderOneBound_TotalHoldsAndNobodyHangs()
    {
        KeyedResourcePool<string, Resource> pool = Make(perKey: 3, total: 5);
        _factory.OnDestroy = static async _ => await Task.Yield();
        await new StressRunner { Workers = 12 }.RunAsync(async worker =>
        {
            await using PoolLease<Resource> lease = await pool.AcquireAsync($"k{worker.Random.Next(6)}");
            lease.Resource.Enter();
            if (worker.Random.Next(10) == 0)
            {
                await Task.Yield();
            }

            lease.Resource.Leave();
        }, () => Assert.True(_factory.MostAlive <= 5, $"{_factory.MostAlive} alive"));
        Assert.True((await pool.DrainAsync()).IsEmpty);
        Assert.Equal(0, _factory.Alive);
    }

    /// <summary>Mail servers by name: a line protocol over real sockets, with a server that hangs up after every tenth mail.</summary>
    [Fact]
    public async Task Smtp_ServersByName_MailsArriveOverFewConnections()
    {
        await using var first = new MailServer(hangsUpAfter: 10);
        await using var second = new MailServer(hangsUpAfter: int.MaxValue);
        var patient = new PoolOptions { MaxSize = 3, AcquireTimeout = TimeSpan.FromMinutes(1), CreateTimeout = TimeSpan.FromMinutes(1) };
        var factories = new ConcurrentDictionary<int, MailFactory>();
        await using var pool = new KeyedResourcePool<int, MailClient>("smtp", port => factories.GetOrAdd(port, static port => new MailFactory(port)), new KeyedPoolOptions { PerKey = patient, MaxTotal = 5 });
        int[] ports = [first.Port, second.Port];
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(async () =>
        {
            for (int attempt = 0; ; attempt++)
            {
                await using PoolLease<MailClient> lease = await pool.AcquireAsync(ports[i % 2]);
                try
                {
                    await lease.Resource.SendAsync($"mail {i}");
                    return;
                }
                catch (IOException exception) when (attempt < 20)
                {
                    lease.Report(exception);
                }
            }
        })));
        Assert.Equal(100, first.Mails);
        Assert.Equal(100, second.Mails);
        Assert.True(first.Connections >= 10, "it hangs up after every tenth mail");
        Assert.All(factories.Values, static factory => Assert.InRange(factory.MostAlive, 1, 3));
    }

    /// <summary>One server accepts and says nothing: its own mails fail in time, and the other server's do not notice. The pool's time passes as the test says.</summary>
    [Fact]
    public async Task Smtp_OneServerIsSilent_TheOthersDeliver()
    {
        await using var silent = new MailServer(hangsUpAfter: int.MaxValue, greets: false);
        await using var sound = new MailServer(hangsUpAfter: int.MaxValue);
        var time = new ManualTimeProvider();
        var factories = new ConcurrentDictionary<int, MailFactory>();
        var pool = new KeyedResourcePool<int, MailClient>(
            "smtp",
            port => factories.GetOrAdd(port, static port => new MailFactory(port)),
            new KeyedPoolOptions { PerKey = new PoolOptions { MaxSize = 2, CreateTimeout = TimeSpan.FromMilliseconds(300), AcquireTimeout = TimeSpan.FromSeconds(2), BreakAfter = 2 }, MaxTotal = 4 },
            time);
        Task[] lost = [.. Enumerable.Range(0, 10).Select(i => SendAsync(silent.Port, $"lost {i}"))];
        await Task.WhenAll(Enumerable.Range(0, 50).Select(i => Task.Run(() => SendAsync(sound.Port, $"mail {i}"))));
        Assert.Equal(50, sound.Mails);
        Assert.DoesNotContain(lost, static mail => mail.IsCompleted);
        await Eventually.TrueAsync(() =>
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            return lost.All(static mail => mail.IsCompleted);
        }, "the end of what cannot be sent");
        foreach (Task mail in lost)
        {
            Assert.True(await Record.ExceptionAsync(() => mail) is PoolUnavailableException or PoolExhaustedException);
        }

        Assert.Equal(0, silent.Mails);
        Assert.InRange(factories[silent.Port].MostAlive, 1, 2);
        Task drained = pool.DrainAsync();
        await Eventually.TrueAsync(() =>
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            return drained.IsCompleted;
        }, "the drain");

        async Task SendAsync(int port, string mail) => await pool.RunAsync(port, static (client, text, _) => client.SendAsync(text), mail);
    }

    private sealed class MailServer : IAsyncDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly Task _accepting;
        private readonly int _hangsUpAfter;
        private readonly bool _greets;

        public MailServer(int hangsUpAfter, bool greets = true)
        {
            _hangsUpAfter = hangsUpAfter;
            _greets = greets;
            _listener.Start();
            _accepting = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public int Mails;

        public int Connections;

        public async ValueTask DisposeAsync()
        {
            _listener.Stop();
            await _accepting;
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    TcpClient client = await _listener.AcceptTcpClientAsync();
                    Interlocked.Increment(ref Connections);
                    _ = ServeAsync(client);
                }
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
            }
        }

        private async Task ServeAsync(TcpClient client)
        {
            try
            {
                using (client)
                {
                    using var reader = new StreamReader(client.GetStream());
                    await using var writer = new StreamWriter(client.GetStream()) { AutoFlush = true };
                    if (!_greets)
                    {
                        await reader.ReadLineAsync();
                        return;
                    }

                    await writer.WriteLineAsync("220 ready");
                    for (int mails = 0; mails < _hangsUpAfter && await reader.ReadLineAsync() is not null; mails++)
                    {
                        Interlocked.Increment(ref Mails);
                        await writer.WriteLineAsync("250 ok");
                    }
                }
            }
            catch (IOException)
            {
            }
        }
    }

    private sealed class MailClient(TcpClient client, Action ended) : IDisposable
    {
        private readonly StreamReader _reader = new(client.GetStream());
        private readonly StreamWriter _writer = new(client.GetStream()) { AutoFlush = true };

        public async Task GreetAsync(CancellationToken cancellationToken) => await ExpectAsync("220", cancellationToken);

        public async Task SendAsync(string mail)
        {
            await _writer.WriteLineAsync(mail);
            await ExpectAsync("250", CancellationToken.None);
        }

        public void Dispose()
        {
            client.Dispose();
            ended();
        }

        private async Task ExpectAsync(string code, CancellationToken cancellationToken)
        {
            string? line = await _reader.ReadLineAsync(cancellationToken);
            if (line is null || !line.StartsWith(code, StringComparison.Ordinal))
            {
                throw new IOException($"the server said '{line}'");
            }
        }
    }

    /// <summary>Counts the connections where they begin and end: the server hears of an end later.</summary>
    private sealed class MailFactory(int port) : IResourceFactory<MailClient>
    {
        private int _alive;

        public int MostAlive;

        public async ValueTask<MailClient> CreateAsync(CancellationToken cancellationToken)
        {
            int alive = Interlocked.Increment(ref _alive);
            for (int most = MostAlive; alive > most;)
            {
                most = Interlocked.CompareExchange(ref MostAlive, alive, most);
            }

            var tcp = new TcpClient();
            try
            {
                await tcp.ConnectAsync(IPAddress.Loopback, port, cancellationToken);
                var client = new MailClient(tcp, () => Interlocked.Decrement(ref _alive));
                await client.GreetAsync(cancellationToken);
                return client;
            }
            catch
            {
                tcp.Dispose();
                Interlocked.Decrement(ref _alive);
                throw;
            }
        }
    }
}
