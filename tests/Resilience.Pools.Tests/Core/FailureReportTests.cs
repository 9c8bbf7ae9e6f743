using System.Runtime.CompilerServices;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

/// <summary>Failures of whatever is asked about failures.</summary>
public sealed class FailureReportTests
{
    [Fact]
    public async Task RunAsync_FactoryFailsToJudgeAFailure_TheFailureItselfComesThrough()
    {
        var factory = new ResourceFactory<object>(static _ => new(new object())) { Fatal = static (_, _) => throw new InvalidCastException("a judge that fails") };
        await using var pool = new ResourcePool<object>("test", factory);
        await Assert.ThrowsAsync<IOException>(async () => await pool.RunAsync(static (_, _, _) => Task.FromException(new IOException("the failure")), 0));

        // Nobody knows whether it still works, so it is not used again.
        await Eventually.TrueAsync(() => pool.Snapshot() is { Destroyed: 1, Open: 0 }, "the end of the resource");
    }

    /// <summary>A check that was given up fails when its connection is torn down under it; that is nobody's news any more.</summary>
    [Fact]
    public async Task Check_FailsAfterItWasGivenUp_IsNotLeftUnobserved()
    {
        var unobserved = new List<Exception>();
        EventHandler<UnobservedTaskExceptionEventArgs> note = (_, told) =>
        {
            lock (unobserved)
            {
                unobserved.AddRange(told.Exception.InnerExceptions.Where(exception => exception is AbandonedCheckException));
            }
        };
        TaskScheduler.UnobservedTaskException += note;
        try
        {
            await GiveUpACheckAsync();
            for (int i = 0; i < 3; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }
        finally
        {
            TaskScheduler.UnobservedTaskException -= note;
        }

        Assert.Empty(unobserved);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task GiveUpACheckAsync()
    {
        var fixture = new PoolFixture();
        var check = new TaskCompletionSource<bool>();
        fixture.Factory.OnValidate = (_, _) => new ValueTask<bool>(check.Task);
        ResourcePool<Resource> pool = fixture.Make(new() { MaxSize = 1, ValidateOnReturn = true });
        (await pool.AcquireAsync()).Dispose();
        await Eventually.TrueAsync(() => Volatile.Read(ref fixture.Factory.Validated) == 1, "the check");
        await Eventually.TrueAsync(() =>
        {
            fixture.Time.Advance(TimeSpan.FromSeconds(1));
            return fixture.Factory.Destroyed == 1;
        }, "its end");
        check.SetException(new AbandonedCheckException());
        await fixture.DisposeAsync();
    }

    private sealed class AbandonedCheckException : Exception;
}
