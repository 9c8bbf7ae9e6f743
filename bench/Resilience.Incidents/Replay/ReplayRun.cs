namespace Resilience.Incidents.Replay;

/// <summary>What an incident is told about the run that it is part of.</summary>
internal sealed class ReplayRun(ReplayOptions options)
{
    public bool Quick => options.Quick;

    public int Seed => options.Seed;

    /// <summary>How long to load each side: as said on the command line, or the one of the two that fits.</summary>
    public TimeSpan Length(double quick, double full) => TimeSpan.FromSeconds(Math.Max(4, options.Seconds ?? (Quick ? quick : full)));

    /// <summary>Says what is going on, on standard error, so that standard output holds results alone.</summary>
    public void Say(string text) => Console.Error.WriteLine($"  {DateTimeOffset.Now:HH:mm:ss} {text}");

    /// <summary>Begins a side with a clean heap and idle threads.</summary>
    public async Task SettleAsync()
    {
        await Task.Delay(300);
        Instruments.LiveHeap.Bytes();
    }
}
