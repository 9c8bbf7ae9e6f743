namespace Resilience.Context.Tests.Tasks;

public sealed class TaskScopeTimeoutTests
{
    [Fact]
    public async Task Dispose_JoinTimeoutLongerThanATimerLasts_JoinsAll()
    {
        var ended = new TaskCompletionSource();
        TaskScope group = TaskScope.Open(options: new TaskScopeOptions { JoinTimeout = TimeSpan.MaxValue });
        Task task = group.Run(async token =>
        {
            await Task.Delay(Timeout.Infinite, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            ended.SetResult();
        });
        await group.DisposeAsync();
        Assert.True(ended.Task.IsCompleted);
        await task;
        Assert.Equal(0, group.Stragglers);
    }
}
