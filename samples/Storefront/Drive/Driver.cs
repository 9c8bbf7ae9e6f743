using System.Diagnostics;
using System.Net.Http.Json;
using Storefront.Catalogue;
using Storefront.Orders;
using Storefront.Products;

namespace Storefront.Drive;

/// <summary>
/// Replays a trace over HTTP with open-loop arrivals: the n-th request is due at n/rate whatever became of the ones before, and its
/// latency counts from then, so that a stall of the service is seen in full and not hidden by a client that politely waits.
/// </summary>
internal sealed class Driver(Uri address, int[] trace, PriceHistory? history) : IDisposable
{
    /// <summary>One read in so many is followed by an order for the same product.</summary>
    private const int ReadsPerOrder = 50;

    /// <summary>In a soak, one read in so many is followed by a change of the price.</summary>
    private const int ReadsPerChange = 40;

    /// <summary>How many ask at once while the capacity is measured.</summary>
    private const int CapacityCallers = 32;

    /// <summary>More than this in flight means that the service has stopped; what is due then counts as an error instead of filling the heap.</summary>
    private const int MostInFlight = 20_000;

    /// <summary>How many reads go before the measured ones, one after the other: the first of a process compile more than they answer.</summary>
    private const int WarmUpReads = 400;

    private HttpClient _client = NewClient(address);
    private int _inFlight;

    public DriveResults Results { get; } = new();

    public TimeSpan Elapsed { get; private set; }

    public void Dispose() => _client.Dispose();

    /// <summary>Reads the first products of the trace without counting.</summary>
    public async Task WarmUpAsync(CancellationToken cancellationToken)
    {
        for (int i = 0; i < WarmUpReads && !cancellationToken.IsCancellationRequested; i++)
        {
            using HttpResponseMessage response = await _client.GetAsync(Page(trace[i % trace.Length]), CancellationToken.None);
        }
    }

    /// <summary>Reads every product once, so that the cache holds what it is going to hold.</summary>
    public Task ReadEachAsync(int products, CancellationToken cancellationToken) =>
        Parallel.ForAsync(0, products, new ParallelOptions { MaxDegreeOfParallelism = CapacityCallers, CancellationToken = cancellationToken }, async (id, _) => await SendAsync(trace.Length + 1, id, Stopwatch.GetTimestamp()));

    /// <summary>How many requests are answered in a second when each caller asks again as soon as it has its answer.</summary>
    public async Task<double> MeasureCapacityAsync(TimeSpan length, CancellationToken cancellationToken)
    {
        long before = Results.Ok;
        int index = 0;
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, CapacityCallers).Select(async _ =>
        {
            while (Stopwatch.GetElapsedTime(start) < length && !cancellationToken.IsCancellationRequested)
            {
                int i = Interlocked.Increment(ref index);
                await SendAsync(i, trace[i % trace.Length], Stopwatch.GetTimestamp());
            }
        }));
        return (Results.Ok - before) / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Closes all connections, as visitors who have left.</summary>
    public void HangUp()
    {
        _client.Dispose();
        _client = NewClient(address);
    }

    /// <summary>Offers a load and waits until all that was sent is answered.</summary>
    public async Task RunAsync(DriveLoad load, CancellationToken cancellationToken)
    {
        int wanted = load.Requests ?? int.MaxValue;
        TimeSpan most = load.Length ?? Timeout.InfiniteTimeSpan;
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < wanted && !cancellationToken.IsCancellationRequested;)
        {
            Elapsed = Stopwatch.GetElapsedTime(start);
            if (most != Timeout.InfiniteTimeSpan && Elapsed >= most)
            {
                break;
            }

            for (long due = (long)(Elapsed.TotalSeconds * load.Rate); i <= due && i < wanted; i++)
            {
                Dispatch(i, start + (long)(i / load.Rate * Stopwatch.Frequency));
            }

            await Task.Delay(1, CancellationToken.None);
        }

        while (Volatile.Read(ref _inFlight) > 0)
        {
            await Task.Delay(10, CancellationToken.None);
        }

        Elapsed = Stopwatch.GetElapsedTime(start);
    }

    private static HttpClient NewClient(Uri address) => new(new SocketsHttpHandler { MaxConnectionsPerServer = 256 }) { BaseAddress = address, Timeout = TimeSpan.FromSeconds(30) };

    private static Uri Page(int key) => new($"/products/{key}", UriKind.Relative);

    private void Dispatch(int index, long due)
    {
        Results.AddSent();
        if (Interlocked.Increment(ref _inFlight) > MostInFlight)
        {
            Interlocked.Decrement(ref _inFlight);
            Results.AddError($"more than {MostInFlight} requests in flight");
            return;
        }

        _ = Task.Run(async () =>
        {
            await SendAsync(index, trace[index % trace.Length], due);
            Interlocked.Decrement(ref _inFlight);
        });
    }

    private async Task SendAsync(int index, int key, long due)
    {
        try
        {
            await ReadPageAsync(key);
            Results.Latency.Add(Stopwatch.GetElapsedTime(due));
            if (index % ReadsPerOrder == 0)
            {
                await PlaceOrderAsync(key);
            }

            if (history is not null && index % ReadsPerChange == 0)
            {
                await ChangePriceAsync(history, key, 100 + (index % 1_000_000));
            }
        }
        catch (Exception exception) when (exception is HttpRequestException or OperationCanceledException or System.Text.Json.JsonException)
        {
            Results.AddError($"product {key}: {exception.Message}");
        }
    }

    private async Task ReadPageAsync(int key)
    {
        int least = history?.Least(key) ?? 0;
        using HttpResponseMessage response = await _client.GetAsync(Page(key));
        if (!response.IsSuccessStatusCode)
        {
            Results.AddError($"product {key}: {(int)response.StatusCode}");
            return;
        }

        ProductPage? page = await response.Content.ReadFromJsonAsync(StorefrontJson.Default.ProductPage);
        if (page?.Product.Id != key)
        {
            Results.AddWrong($"product {key}: the answer is about {page?.Product.Id}");
            return;
        }

        if (history?.Judge(page.Product, least) is { } wrong)
        {
            Results.AddWrong($"product {key} after {Elapsed.TotalSeconds:0.0} s: {wrong}");
            return;
        }

        Results.AddOk();
        if (page.Degraded is { Count: > 0 })
        {
            Results.AddDegraded();
        }
    }

    private async Task ChangePriceAsync(PriceHistory prices, int key, int priceCents)
    {
        int least = prices.Least(key);
        prices.Asked(key, priceCents);
        using HttpResponseMessage response = await _client.PutAsJsonAsync(new Uri($"/products/{key}/price", UriKind.Relative), new PriceChange(priceCents), StorefrontJson.Default.PriceChange);
        if (!response.IsSuccessStatusCode)
        {
            Results.AddError($"price of {key}: {(int)response.StatusCode}");
            return;
        }

        Product? product = await response.Content.ReadFromJsonAsync(StorefrontJson.Default.Product);
        string? wrong = product is null || product.Id != key || product.PriceCents != priceCents ? "the answer confirms something else" : prices.Judge(product, least, isConfirmed: true);
        if (wrong is null)
        {
            Results.AddChange();
        }
        else
        {
            Results.AddWrong($"price of {key} after {Elapsed.TotalSeconds:0.0} s: {wrong}");
        }
    }

    private async Task PlaceOrderAsync(int key)
    {
        using HttpResponseMessage response = await _client.PostAsJsonAsync(new Uri("/orders", UriKind.Relative), new OrderRequest(key, 1, "customer@shop.test"), StorefrontJson.Default.OrderRequest);
        if (response.IsSuccessStatusCode)
        {
            Results.AddOrder();
        }
        else
        {
            Results.AddError($"order of {key}: {(int)response.StatusCode}");
        }
    }
}

/// <summary>What to offer.</summary>
/// <param name="Rate">Arrivals a second.</param>
/// <param name="Requests">How many at the most; without end when there is none.</param>
/// <param name="Length">How long at the most; without end when there is none.</param>
internal readonly record struct DriveLoad(double Rate, int? Requests, TimeSpan? Length);
