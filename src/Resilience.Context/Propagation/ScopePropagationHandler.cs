using System.Net.Http.Headers;

namespace Resilience.Context;

/// <summary>
/// Sends what is left of the current request's deadline, its identifier, priority and baggage with each call, does not send a call that
/// could not be answered in time, and cancels the call with the request.
/// </summary>
/// <remarks>
/// It works per attempt: put it inside retries. The deadline goes as <c>grpc-timeout</c> where the content type is <c>application/grpc</c>,
/// else as <see cref="DeadlineCodec.TimeoutHeader"/>. A header that the call has already is left alone, save a deadline that is longer than
/// what is left. Thread-safe.
/// </remarks>
public sealed class ScopePropagationHandler : DelegatingHandler
{
    // A retry sends the same message again: what was written for the first attempt must not be written twice.
    private static readonly HttpRequestOptionsKey<bool> WroteBaggage = new("Resilience.Context.Baggage");

    private readonly Lock _starting = new(); // guards the write of _isStarted and what comes before it
    private readonly ScopePropagationOptions _options;
    private readonly Func<DeadlinePolicy> _policy;
    private volatile bool _isStarted;

    /// <summary>Makes a handler.</summary>
    /// <param name="options">What is sent; everything when <see langword="null"/>.</param>
    /// <param name="policy">Gives the margins in force; the defaults when <see langword="null"/>.</param>
    public ScopePropagationHandler(ScopePropagationOptions? options = null, Func<DeadlinePolicy>? policy = null)
    {
        _options = options ?? new ScopePropagationOptions();
        _policy = policy ?? (static () => DeadlinePolicy.Default);
    }

    /// <summary>Sends the call.</summary>
    /// <param name="request">The call.</param>
    /// <param name="cancellationToken">Cancels it.</param>
    /// <exception cref="DeadlineExceededException">Too little of the deadline was left to send the call, or the deadline passed while it ran.</exception>
    /// <exception cref="InvalidOperationException">There are <see cref="ScopePropagationOptions.Hosts"/>, and the handler that sends has followed redirects already.</exception>
    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        Start();
        if (RequestScope.Current is not { State: { } state } scope)
        {
            return base.SendAsync(request, cancellationToken);
        }

        return Prepare(request, scope, state) is { } refusal
            ? Task.FromException<HttpResponseMessage>(refusal)
            : SendWithinAsync(request, scope, state.IsCallerChosen, cancellationToken);
    }

    /// <summary>Sends the call and blocks until its headers are there, for clients that call <see cref="HttpClient.Send(HttpRequestMessage)"/>.</summary>
    /// <inheritdoc cref="SendAsync"/>
    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        Start();
        if (RequestScope.Current is not { State: { } state } scope)
        {
            return base.Send(request, cancellationToken);
        }

        if (Prepare(request, scope, state) is { } refusal)
        {
            throw refusal;
        }

        using CancellationTokenSource either = Limit(scope, cancellationToken);
        try
        {
            return base.Send(request, either.Token);
        }
        catch (OperationCanceledException exception) when (exception is not DeadlineExceededException && IsOurs(either, scope, cancellationToken))
        {
            throw Explain(request, scope, state.IsCallerChosen, exception);
        }
    }

    /// <summary>Before the first call: where not every host may be told, the platform must not carry the headers on to where a redirect points.</summary>
    private void Start()
    {
        if (_isStarted || _options.Hosts.Count == 0)
        {
            return;
        }

        lock (_starting)
        {
            HttpMessageHandler? sender = InnerHandler;
            while (sender is DelegatingHandler outer)
            {
                sender = outer.InnerHandler;
            }

            try
            {
                if (sender is SocketsHttpHandler { AllowAutoRedirect: true } sockets)
                {
                    sockets.AllowAutoRedirect = false;
                }
                else if (sender is HttpClientHandler { AllowAutoRedirect: true } client)
                {
                    client.AllowAutoRedirect = false;
                }
            }
            catch (InvalidOperationException exception)
            {
                throw new InvalidOperationException("The client's handler has sent calls before, and follows redirects, with the headers of the request scope, to hosts that ScopePropagationOptions.Hosts may not name. Set its AllowAutoRedirect to false, or give this client a handler of its own.", exception);
            }

            _isStarted = true;
        }
    }

    /// <summary>Writes the headers of a call.</summary>
    /// <returns>Why it must not be sent, if it must not.</returns>
    private DeadlineExceededException? Prepare(HttpRequestMessage request, RequestScope scope, ScopeState state)
    {
        TimeSpan remaining = state.Deadline.ExactRemaining;
        DeadlinePolicy policy = _policy();
        if (!policy.TryOutbound(remaining, _options.AttemptTimeout, out TimeSpan budget))
        {
            state.Monitor.Metrics.DeadlineExceeded("outbound", state.IsCallerChosen);
            return new DeadlineExceededException(
                $"Request '{scope.Id}' has {remaining.TotalMilliseconds:0.#} ms left, which after the margin is less than the {policy.MinimumUseful.TotalMilliseconds:0.#} ms that a call is worth, so {request.Method} to '{request.RequestUri?.Host}' was not sent.",
                remaining, policy.MinimumUseful, state.IsCallerChosen);
        }

        if (_options.IsTold(request.RequestUri?.Host ?? ""))
        {
            Write(request, scope, state, budget);
        }

        return null;
    }

    private void Write(HttpRequestMessage request, RequestScope scope, ScopeState state, TimeSpan budget)
    {
        HttpRequestHeaders headers = request.Headers;
        if (_options.SendDeadline && budget != Timeout.InfiniteTimeSpan)
        {
            WriteDeadline(request, budget);
        }

        if (_options.SendRequestId && !headers.Contains(ScopeHeaders.RequestId) && ScopeId.IsValid(scope.Id))
        {
            headers.TryAddWithoutValidation(ScopeHeaders.RequestId, scope.Id);
        }

        if (_options.SendPriority && !headers.Contains(ScopeHeaders.Priority) && Enum.IsDefined(state.Priority))
        {
            headers.TryAddWithoutValidation(ScopeHeaders.Priority, ScopeHeaders.WritePriority(state.Priority));
        }

        if (_options.SendBaggage && state.Items is { } items)
        {
            string? existing = headers.TryGetValues(ScopeHeaders.Baggage, out IEnumerable<string>? lines) ? string.Join(',', lines) : null;
            if (!request.Options.TryGetValue(WroteBaggage, out _) && BaggageCodec.Write(items, existing) is { } baggage)
            {
                headers.Remove(ScopeHeaders.Baggage);
                headers.TryAddWithoutValidation(ScopeHeaders.Baggage, baggage);
                request.Options.Set(WroteBaggage, true);
            }
        }
    }

    private static void WriteDeadline(HttpRequestMessage request, TimeSpan budget)
    {
        bool isGrpc = IsGrpc(request.Content?.Headers.ContentType?.MediaType);
        string name = isGrpc ? DeadlineCodec.GrpcTimeoutHeader : DeadlineCodec.TimeoutHeader;
        if (request.Headers.NonValidated.TryGetValues(name, out HeaderStringValues values))
        {
            string text = values.ToString();
            bool isRead = isGrpc ? DeadlineCodec.TryReadGrpc(text, out TimeSpan own) : DeadlineCodec.TryReadMilliseconds(text, out own);
            if (isRead && own <= budget)
            {
                return;
            }

            request.Headers.Remove(name);
        }

        request.Headers.TryAddWithoutValidation(name, isGrpc ? DeadlineCodec.WriteGrpc(budget) : DeadlineCodec.WriteMilliseconds(budget));
    }

    /// <summary>Whether a media type is gRPC's: <c>application/grpc</c>, with a suffix such as <c>+proto</c> or without.</summary>
    internal static bool IsGrpc(string? mediaType) =>
        mediaType is not null && mediaType.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase)
        && (mediaType.Length == 16 || mediaType[16] is '+' or ';');

    private async Task<HttpResponseMessage> SendWithinAsync(HttpRequestMessage request, RequestScope scope, bool isCallerChosen, CancellationToken cancellationToken)
    {
        using CancellationTokenSource either = Limit(scope, cancellationToken);
        try
        {
            return await base.SendAsync(request, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException exception) when (exception is not DeadlineExceededException && IsOurs(either, scope, cancellationToken))
        {
            throw Explain(request, scope, isCallerChosen, exception);
        }
    }

    private CancellationTokenSource Limit(RequestScope scope, CancellationToken cancellationToken)
    {
        var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, scope.Token);
        if (_options.AttemptTimeout != Timeout.InfiniteTimeSpan)
        {
            either.CancelAfter(_options.AttemptTimeout);
        }

        return either;
    }

    /// <summary>Whether the deadline or the attempt's timeout cancelled a call, and not its caller or the end of the request.</summary>
    private static bool IsOurs(CancellationTokenSource either, RequestScope scope, CancellationToken cancellationToken) =>
        // The deadline is asked first: a caller who passes the scope's own token on has cancelled too, and it is the deadline all the same.
        scope.Cause == ScopeCause.Deadline
        || (either.IsCancellationRequested && !cancellationToken.IsCancellationRequested && !scope.Token.IsCancellationRequested);

    private OperationCanceledException Explain(HttpRequestMessage request, RequestScope scope, bool isCallerChosen, OperationCanceledException exception)
    {
        if (scope.Cause == ScopeCause.Deadline)
        {
            (scope.State?.Monitor ?? ScopeMonitor.Default).Metrics.DeadlineExceeded("running", isCallerChosen);
            return new DeadlineExceededException(
                $"The deadline of request '{scope.Id}' passed while {request.Method} to '{request.RequestUri?.Host}' was running.",
                TimeSpan.Zero, TimeSpan.Zero, isCallerChosen, exception, exception.CancellationToken);
        }

        return new TaskCanceledException(
            $"{request.Method} to '{request.RequestUri?.Host}' took longer than the attempt timeout of {_options.AttemptTimeout.TotalMilliseconds:0} ms.",
            new TimeoutException("The attempt timeout has passed.", exception), exception.CancellationToken);
    }
}
