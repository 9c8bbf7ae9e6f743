using Resilience.TestKit;

namespace Resilience.Incidents.Soak;

/// <summary>Makes one server's network fail at random: resets, stalls, refusals, slowness, answers cut in the middle. The seed decides what and for how long.</summary>
internal sealed class Trouble(string server, ChaosProxy proxy, int seed)
{
    private readonly Random _random = new(seed);

    /// <summary>How many faults there have been.</summary>
    public int Count { get; private set; }

    /// <summary>Goes on until it is cancelled; then all is well.</summary>
    public async Task MakeAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            await PauseAsync(0.5, 5, cancellationToken);
            if (cancellationToken.IsCancellationRequested)
            {
                break;
            }

            Count++;
            string fault = Begin();
            await PauseAsync(0.05, 3, cancellationToken);
            proxy.Heal();
            if (Count % 20 == 0)
            {
                Console.WriteLine($"{server}: {Count} faults so far, the last one: {fault}");
            }
        }

        proxy.Heal();
    }

    private string Begin()
    {
        switch (_random.Next(6))
        {
            case 0:
                proxy.Cut();
                return "connections reset";
            case 1:
                proxy.RefusesNew = true;
                proxy.Cut();
                return "connections reset and refused";
            case 2:
                (proxy.ToServer.Stalled, proxy.ToClient.Stalled) = (true, true);
                return "stalled";
            case 3:
                proxy.ToClient.Stalled = true; // what is asked is done, and nobody hears of it
                return "answers stalled";
            case 4:
                proxy.ToClient.Delay = TimeSpan.FromMilliseconds(_random.Next(5, 200));
                return "slow";
            default:
                proxy.ToClient.CutAfter(_random.Next(1, 5_000));
                return "cut in the middle of an answer";
        }
    }

    private async Task PauseAsync(double leastSeconds, double mostSeconds, CancellationToken cancellationToken) =>
        await Task.Delay(TimeSpan.FromSeconds(leastSeconds + (_random.NextDouble() * (mostSeconds - leastSeconds))), cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
}
