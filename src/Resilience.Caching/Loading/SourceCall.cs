using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching.Flights;
using Resilience.Caching.Local;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// Step 6: the factory, among a bounded number of loads, under its timeouts, with a scope of services of its own where it asks for one.
/// It runs on the leader's stack, so the leader's ambient context flows into it.
/// </summary>
internal sealed class SourceCall(CacheCore core, LoadTimers timers)
{
    /// <summary>Runs the factory.</summary>
    public async ValueTask<Loaded<T>> LoadAsync<T>(Flight<T> flight)
    {
        if (flight.Timer is null)
        {
            flight.BeganAt = core.Clock.Milliseconds;
        }

        ValueTask admission = AdmitAsync(flight);
        if (!admission.IsCompletedSuccessfully)
        {
            await admission.ConfigureAwait(false);
        }

        core.Statistics.Add(CacheCount.SourceLoad);
        Activity? activity = CachingActivities.StartLoad(core.Name);
        try
        {
            CacheLoad<T>? load = flight.WantsLoad ? Prepare(flight) : null;
            Reentrancy.Enter(flight);
            flight.IsHeld |= core.LoadPipeline is not null; // which may hedge or outlive its call
            ValueTask<T> pending = core.LoadPipeline is { } pipeline
                ? pipeline.ExecuteAsync(static (call, token) => call.flight.InvokeAsync(call.load, token), (flight, load), flight.Cancellation.Token)
                : flight.InvokeAsync(load, flight.Cancellation.Token);
            if (!pending.IsCompleted)
            {
                timers.Arm(flight);
            }

            T value = await pending.ConfigureAwait(false);
            return new Loaded<T>(value, load, core.Clock.Milliseconds - flight.BeganAt);
        }
        catch (Exception exception)
        {
            activity?.SetStatus(ActivityStatusCode.Error, exception.GetType().Name);
            throw;
        }
        finally
        {
            activity?.Dispose();
            timers.ReleasePermit(flight);
        }
    }

    /// <summary>Takes a place among the cache's concurrent loads, waiting for one within the load timeout.</summary>
    /// <exception cref="OperationCanceledException">Everybody has left, or the time is up: nothing is to be loaded any more.</exception>
    public async ValueTask AdmitAsync<T>(Flight<T> flight)
    {
#pragma warning disable VSTHRD103 // With a timeout of zero it does not wait: it asks, without the price of a task.
        bool isAdmitted = core.LoadPermits.Wait(0, CancellationToken.None);
#pragma warning restore VSTHRD103
        if (!isAdmitted)
        {
            timers.Arm(flight);
            await core.LoadPermits.WaitAsync(flight.Cancellation.Token).ConfigureAwait(false);
        }

        Interlocked.Exchange(ref flight.HasPermit, true);
        if (flight.IsAbandoned || flight.Cancellation.IsCancellationRequested)
        {
            timers.ReleasePermit(flight);
            throw new OperationCanceledException(flight.Cancellation.Token);
        }
    }

    /// <summary>Ends the scope of services that a load had. What that throws is no failure of the load, whose value is in use already.</summary>
    public async ValueTask EndScopeAsync(Flight flight)
    {
        try
        {
            await flight.Scope!.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            CachingLog.ScopeFailed(core.Logger, core.Name, exception);
        }
    }

    private CacheLoad<T> Prepare<T>(Flight<T> flight)
    {
        LocalEntry<T>? stale = flight.Stale is { } copy && core.IsOfUse(copy) ? copy : null;
        var load = new CacheLoad<T>(flight.Key, stale, core.Entries.Materialise) { Services = core.Services };
        if (flight.Policy.FreshScope && core.Services is not null)
        {
            AsyncServiceScope scope = core.Services.CreateAsyncScope();
            flight.Scope = scope;
            load.Services = scope.ServiceProvider;
        }

        return load;
    }
}
