namespace Resilience.Pools;

/// <summary>Work that nobody waits for any more.</summary>
internal static class AbandonedTask
{
    /// <summary>Sees to it that its failure, if there will be one, does not surface as unobserved.</summary>
    public static void Observe(Task task) =>
        _ = task.ContinueWith(static ended => _ = ended.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
}
