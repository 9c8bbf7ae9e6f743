namespace Resilience.Caching;

/// <summary>Work that may be given up before it has ended.</summary>
internal static class AbandonedTask
{
    /// <summary>Looks at the failure of a task even when nobody waits for it any more, so that it does not surface as an unobserved one.</summary>
    public static void Observe(this Task task) =>
        _ = task.ContinueWith(static ended => _ = ended.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    /// <summary>The task of a call for which its caller may stop waiting; see <see cref="Observe"/>.</summary>
    public static Task<T> Observed<T>(this Task<T> task)
    {
        if (!task.IsCompletedSuccessfully)
        {
            task.Observe();
        }

        return task;
    }
}
