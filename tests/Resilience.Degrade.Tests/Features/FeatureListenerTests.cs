using Resilience.Context;

namespace Resilience.Degrade.Tests.Features;

/// <summary>Who listens to changes is told of them in order, and nobody waits for anybody over it.</summary>
public sealed class FeatureListenerTests
{
    private static readonly Feature First = Feature.Declare("l-first", Priority.Low);
    private static readonly Feature Second = Feature.Declare("l-second", Priority.Low);

    [Fact]
    public async Task OnChange_AListenerMakesAnotherChange_AllAreToldInOrder()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        var told = new List<string>();
        using IDisposable acting = host.Degradation.OnChange(change =>
        {
            if (change.Feature == First && change.After.State == FeatureState.Off)
            {
                Assert.True(host.Degradation.OverrideAsync(Second, FeatureState.Off, "follows", "test").IsCompletedSuccessfully);
            }
        });
        using IDisposable listening = host.Degradation.OnChange(change => told.Add(change.Feature.Name));
        await host.Degradation.OverrideAsync(First, FeatureState.Off, "test", "test");
        Assert.Equal(["l-first", "l-second"], told);
    }

    /// <summary>A listener that wants a lock which somebody holds who makes a change: neither may wait for the other for ever.</summary>
    [Fact]
    public async Task OnChange_AListenerWaitsForWhoMakesAnotherChange_NoDeadlock()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        var told = new List<string>();
        using var listening = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        using IDisposable subscription = host.Degradation.OnChange(change =>
        {
            told.Add(change.Feature.Name);
            listening.Set();
            goOn.Wait();
        });
        Task first = Task.Factory.StartNew(() => host.Degradation.OverrideAsync(First, FeatureState.Off, "test", "test").AsTask(), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
        listening.Wait();
        Task second = Task.Factory.StartNew(() => host.Degradation.OverrideAsync(Second, FeatureState.Off, "test", "test").AsTask(), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
        try
        {
            await second.WaitAsync(TimeSpan.FromSeconds(30));
            Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Second));
        }
        finally
        {
            goOn.Set();
        }

        await Task.WhenAll(first, second);
        Assert.Equal(["l-first", "l-second"], told);
    }
}
