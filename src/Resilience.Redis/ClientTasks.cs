using System.Runtime.CompilerServices;

namespace Resilience.Redis;

/// <summary>
/// How this package waits for the client. The 1.x client completes its tasks one after another on a thread of its own and lets whoever awaits them go
/// on right there: an application that blocks after such an await would hold up every answer of the connection, its own among them.
/// Everything that leaves this package therefore goes on on the thread pool.
/// </summary>
internal static class ClientTasks
{
    /// <summary>Awaits a task of the client and goes on on the thread pool, without the captured context; on the caller's thread when it is complete already.</summary>
    /// <param name="task">The client's task, or one that is completed by it.</param>
    public static PoolAwaitable<T> OnPool<T>(this Task<T> task) => new(task);

    /// <inheritdoc cref="OnPool{T}(Task{T})"/>
    public static PoolAwaitable<bool> OnPool(this Task task) => new(task as Task<bool> ?? ResultOf(task));

    /// <summary>Looks at the failure of a task that may be given up, so that it does not surface as an unobserved one.</summary>
    public static void Observe(this Task task) =>
        _ = task.ContinueWith(static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    private static async Task<bool> ResultOf(Task task)
    {
        await task.ConfigureAwait(false);
        return true;
    }

    /// <summary>An awaitable and its awaiter.</summary>
    internal readonly struct PoolAwaitable<T>(Task<T> task) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => task.IsCompleted;

        public PoolAwaitable<T> GetAwaiter() => this;

#pragma warning disable VSTHRD002 // only called once the task is complete
        public T GetResult() => task.GetAwaiter().GetResult();
#pragma warning restore VSTHRD002

        public void OnCompleted(Action continuation) => task.ConfigureAwait(false).GetAwaiter().OnCompleted(() => ThreadPool.QueueUserWorkItem(static action => action(), continuation, preferLocal: false));

        public void UnsafeOnCompleted(Action continuation) => task.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(() => ThreadPool.UnsafeQueueUserWorkItem(static action => action(), continuation, preferLocal: false));
    }
}
