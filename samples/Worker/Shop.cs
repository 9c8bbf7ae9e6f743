using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Context;

namespace Worker;

/// <summary>What becomes of the mails.</summary>
/// <param name="orders">How many orders come in; 0 for orders without end.</param>
/// <param name="sendMilliseconds">How long a mail takes.</param>
internal sealed class Shop(int orders, int sendMilliseconds)
{
    private int _sent;
    private int _saved;

    public int Orders => orders;

    public int SendMilliseconds => sendMilliseconds;

    public int Sent => _sent;

    public int Saved => _saved;

    public void NoteSent() => Interlocked.Increment(ref _sent);

    /// <summary>Keeps a mail that could not be sent before the process stopped; a real shop would write it to its outbox.</summary>
    public void Save(AbandonedWork work)
    {
        if (work.State is Mail)
        {
            Interlocked.Increment(ref _saved);
        }
    }
}

/// <summary>All that sending a mail needs: plain values, nothing of the request.</summary>
internal sealed record Mail(int Order);

/// <summary>Takes orders, each in a request scope of its own.</summary>
internal sealed class OrderService(Shop shop, [FromKeyedServices("mail")] BackgroundWorkQueue mails, IHostApplicationLifetime lifetime) : BackgroundService
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Detach);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        for (int order = 1; (shop.Orders == 0 || order <= shop.Orders) && !stoppingToken.IsCancellationRequested; order++)
        {
            // snippet: enqueue
            using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromSeconds(2) });
            scope.Set(Tenant, "acme");
            mails.TryEnqueue(scope.Detach(TimeSpan.FromSeconds(30)), new Mail(order), static async (services, mail, cancelled) =>
            {
                Shop shop = services.GetRequiredService<Shop>();
                await Task.Delay(shop.SendMilliseconds, cancelled);
                shop.NoteSent();
            });
            // end-snippet
            if (order == 20)
            {
                while (shop.Sent == 0 && !stoppingToken.IsCancellationRequested)
                {
                    await Task.Delay(1, CancellationToken.None);
                }

                Console.WriteLine("worker: running");
            }

            await Task.Delay(1, CancellationToken.None);
        }

        if (shop.Orders > 0)
        {
            lifetime.StopApplication();
        }
    }
}
