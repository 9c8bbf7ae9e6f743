using System.Runtime.CompilerServices;

namespace Resilience.Pools;

/// <summary>Where the lease of a run comes from: a pool, or a keyed one for a key.</summary>
internal interface ILeaseSource<T>
    where T : class
{
    ValueTask<PoolLease<T>> AcquireAsync(CancellationToken cancellationToken);
}

/// <summary>What is done with the resource, whichever kind of task says when it has ended.</summary>
internal interface ILeasedWork<T, TState>
{
    ValueTask RunAsync(T resource, TState state, CancellationToken cancellationToken);
}

/// <summary>The same with a result.</summary>
internal interface ILeasedWork<T, TState, TResult>
{
    ValueTask<TResult> RunAsync(T resource, TState state, CancellationToken cancellationToken);
}

/// <summary>
/// The forms of use that cannot leak: lease, run, tell the pool what went wrong, return. Sources and work are structures, so that each
/// form is compiled for itself and costs no delegate or closure of its own.
/// </summary>
internal static class LeasedRun
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask RunAsync<T, TState, TSource, TWork>(TSource source, TWork work, TState state, CancellationToken cancellationToken)
        where T : class
        where TSource : struct, ILeaseSource<T>
        where TWork : struct, ILeasedWork<T, TState>
    {
        using PoolLease<T> lease = await source.AcquireAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await work.RunAsync(lease.Resource, state, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            lease.Report(exception);
            throw;
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<TResult> RunAsync<T, TState, TResult, TSource, TWork>(TSource source, TWork work, TState state, CancellationToken cancellationToken)
        where T : class
        where TSource : struct, ILeaseSource<T>
        where TWork : struct, ILeasedWork<T, TState, TResult>
    {
        using PoolLease<T> lease = await source.AcquireAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await work.RunAsync(lease.Resource, state, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            lease.Report(exception);
            throw;
        }
    }

    public readonly struct TaskAction<T, TState>(Func<T, TState, CancellationToken, Task> action) : ILeasedWork<T, TState>
    {
        public ValueTask RunAsync(T resource, TState state, CancellationToken cancellationToken) => new(action(resource, state, cancellationToken));
    }

    public readonly struct ValueTaskAction<T, TState>(Func<T, TState, CancellationToken, ValueTask> action) : ILeasedWork<T, TState>
    {
        public ValueTask RunAsync(T resource, TState state, CancellationToken cancellationToken) => action(resource, state, cancellationToken);
    }

    public readonly struct TaskFunction<T, TState, TResult>(Func<T, TState, CancellationToken, Task<TResult>> function) : ILeasedWork<T, TState, TResult>
    {
        public ValueTask<TResult> RunAsync(T resource, TState state, CancellationToken cancellationToken) => new(function(resource, state, cancellationToken));
    }

    public readonly struct ValueTaskFunction<T, TState, TResult>(Func<T, TState, CancellationToken, ValueTask<TResult>> function) : ILeasedWork<T, TState, TResult>
    {
        public ValueTask<TResult> RunAsync(T resource, TState state, CancellationToken cancellationToken) => function(resource, state, cancellationToken);
    }
}
