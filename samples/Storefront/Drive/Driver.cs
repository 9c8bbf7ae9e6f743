using System.Diagnostics;
using System.Net.Http.Json;
using Storefront.Orders;
using Storefront.Products;

namespace Storefront.Drive;

/// <summary>
/// Replays a trace over HTTP with open-loop arrivals: the n-th request is due at n/rate whatever became of the ones before, and its
/// latency counts from then, so that a stall of the service is seen in full and not hidden by a client that politely waits.
/// </summary>
internal sealed class Driver(Uri address, int[] trace, DriveOptions options) : IDisposable
{
    /// <summary>One read in so many is followed by an order for the same product.</summary>
    private const int ReadsPerOrder = 50;

    /// <summary>More than this in flight means that the service has stopped; what is due then counts as an error instead of filling the heap.</summary>
    private const int MostInFlight = 20_000;

    /// <summary>How many reads go before the measured ones, one after the other: the first of a process compile more than they answer.</summary>
    private const int WarmUpReads = 400;

    private readonly HttpClient _client = new(new SocketsHttpHandler { MaxConnectionsPerServer = 256 }) { BaseAddress = address, Timeout = TimeSpan.FromSeconds(30) };
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

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        int wanted = Math.Min(options.Requests ?? (options.Seconds is null ? trace.Length : int.MaxValue), int.MaxValue);
        TimeSpan most = options.Seconds is { } seconds ? TimeSpan.FromSeconds(seconds) : Timeout.InfiniteTimeSpan;
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < wanted && !cancellationToken.IsCancellationRequested;)
        {
            Elapsed = Stopwatch.GetElapsedTime(start);
            if (most != Timeout.InfiniteTimeSpan && Elapsed >= most)
            {
                break;
            }

            for (long due = (long)(Elapsed.TotalSeconds * options.Rate); i <= due && i < wanted; i++)
            {
                Dispatch(i, start + (long)(i / options.Rate * Stopwatch.Frequency));
            }

            await Task.Delay(1, CancellationToken.None);
        }

        while (Volatile.Read(ref _inFlight) > 0)
        {
            await Task.Delay(10, CancellationToken.None);
        }

        Elapsed = Stopwatch.GetElapsedTime(start);
    }

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

        _ = Task.Run(() => SendAsync(index, due));
    }

    private async Task SendAsync(int index, long due)
    {
        int key = trace[index % trace.Length];
        try
        {
            await ReadPageAsync(key);
            Results.Latency.Add(Stopwatch.GetElapsedTime(due));
            if (index % ReadsPerOrder == 0)
            {
                await PlaceOrderAsync(key);
            }
        }
        catch (Exception exception) when (exception is HttpRequestException or OperationCanceledException or System.Text.Json.JsonException)
        {
            Results.AddError($"product {key}: {exception.Message}");
        }
        finally
        {
            Interlocked.Decrement(ref _inFlight);
        }
    }

    private async Task ReadPageAsync(int key)
    {
        using HttpResponseMessage response = await _client.GetAsync(Page(key));
        if (!response.IsSuccessStatusCode)
        {
            Results.AddError($"product {key}: {(int)response.StatusCode}");
            return;
        }

        ProductPage? page = await response.Content.ReadFromJsonAsync(StorefrontJson.Default.ProductPage);
        if (page?.Product.Id != key)
        {
            Results.AddError($"product {key}: the answer is about {page?.Product.Id}");
            return;
        }

        Results.AddOk();
        if (page.Degraded is { Count: > 0 })
        {
            Results.AddDegraded();
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
