using System.Runtime.CompilerServices;

namespace Resilience.Pools;

/// <content>Forms of use that cannot leak.</content>
public sealed partial class KeyedResourcePool<TKey, T>
{
    /// <summary>Runs an action with a resource of a key, which is returned however the action ends, and destroyed if its failure is fatal.</summary>
    /// <param name="key">The key.</param>
    /// <param name="action">What to do; make it static and hand over what it needs.</param>
    /// <param name="state">Handed to the action.</param>
    /// <param name="cancellationToken">Ends the wait, and is handed to the action.</param>
    /// <param name="callerFile">Filled in by the compiler.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    /// <typeparam name="TState">The type of the state.</typeparam>
    /// <exception cref="PoolException">No resource was to be had. What the action throws comes through as it is.</exception>
    [OverloadResolutionPriority(1)]
    public ValueTask RunAsync<TState>(TKey key, Func<T, TState, CancellationToken, Task> action, TState state, CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        ArgumentNullException.ThrowIfNull(action);
        return LeasedRun.RunAsync<T, TState, Source, LeasedRun.TaskAction<T, TState>>(new Source(this, key, callerFile, callerLine), new(action), state, cancellationToken);
    }

    /// <inheritdoc cref="RunAsync{TState}(TKey, Func{T, TState, CancellationToken, Task}, TState, CancellationToken, string, int)"/>
    public ValueTask RunAsync<TState>(TKey key, Func<T, TState, CancellationToken, ValueTask> action, TState state, CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        ArgumentNullException.ThrowIfNull(action);
        return LeasedRun.RunAsync<T, TState, Source, LeasedRun.ValueTaskAction<T, TState>>(new Source(this, key, callerFile, callerLine), new(action), state, cancellationToken);
    }

    /// <summary>Runs a function with a resource of a key, which is returned however the function ends, and destroyed if its failure is fatal.</summary>
    /// <param name="key">The key.</param>
    /// <param name="function">What to do; make it static and hand over what it needs.</param>
    /// <param name="state">Handed to the function.</param>
    /// <param name="cancellationToken">Ends the wait, and is handed to the function.</param>
    /// <param name="callerFile">Filled in by the compiler.</param>
    /// <param name="callerLine">Filled in by the compiler.</param>
    /// <typeparam name="TState">The type of the state.</typeparam>
    /// <typeparam name="TResult">The type of the result. It must not be the resource itself.</typeparam>
    /// <exception cref="PoolException">No resource was to be had. What the function throws comes through as it is.</exception>
    [OverloadResolutionPriority(1)]
    public ValueTask<TResult> RunAsync<TState, TResult>(TKey key, Func<T, TState, CancellationToken, Task<TResult>> function, TState state, CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        ArgumentNullException.ThrowIfNull(function);
        return LeasedRun.RunAsync<T, TState, TResult, Source, LeasedRun.TaskFunction<T, TState, TResult>>(new Source(this, key, callerFile, callerLine), new(function), state, cancellationToken);
    }

    /// <inheritdoc cref="RunAsync{TState, TResult}(TKey, Func{T, TState, CancellationToken, Task{TResult}}, TState, CancellationToken, string, int)"/>
    public ValueTask<TResult> RunAsync<TState, TResult>(TKey key, Func<T, TState, CancellationToken, ValueTask<TResult>> function, TState state, CancellationToken cancellationToken = default, [CallerFilePath] string callerFile = "", [CallerLineNumber] int callerLine = 0)
    {
        ArgumentNullException.ThrowIfNull(function);
        return LeasedRun.RunAsync<T, TState, TResult, Source, LeasedRun.ValueTaskFunction<T, TState, TResult>>(new Source(this, key, callerFile, callerLine), new(function), state, cancellationToken);
    }

    private readonly struct Source(KeyedResourcePool<TKey, T> pool, TKey key, string file, int line) : ILeaseSource<T>
    {
        public ValueTask<PoolLease<T>> AcquireAsync(CancellationToken cancellationToken) => pool.AcquireAsync(key, cancellationToken, file, line);
    }
}
