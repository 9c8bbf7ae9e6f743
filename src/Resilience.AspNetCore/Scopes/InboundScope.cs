using System.Collections.Concurrent;
using System.Collections.Frozen;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Resilience.Context;

namespace Resilience.AspNetCore.Scopes;

/// <summary>What a request's scope begins with, by settings, endpoint and, if the caller is trusted, headers. One for each version of the settings.</summary>
internal sealed class InboundScope(ContextSettings settings, FrozenDictionary<string, ScopeKey> keys, Func<HttpContext, bool>[] rules, ScopeMonitor monitor, TimeProvider timeProvider)
{
    private readonly DeadlinePolicy _policy = DeadlinePolicy.From(settings);
    private readonly TrustedPeers _peers = new(settings.TrustedPeers);
    private readonly TimeSpan _defaultTimeout = settings.DefaultTimeout;
    private ScopeOptions? _usual; // of endpoints that declare nothing; made with the first request
    private ConcurrentDictionary<(TimeSpan Timeout, Priority? Priority), ScopeOptions>? _shared; // of those that do

    public bool IsTrusted(HttpContext context)
    {
        if (_peers.IsEmpty && rules.Length == 0)
        {
            return false;
        }

        if (_peers.Contains(context.Connection.RemoteIpAddress))
        {
            return true;
        }

        foreach (Func<HttpContext, bool> trusts in rules)
        {
            if (trusts(context))
            {
                return true;
            }
        }

        return false;
    }

    public ScopeOptions Options(HttpContext context, bool isTrusted)
    {
        EndpointMetadataCollection? metadata = context.GetEndpoint()?.Metadata;
        TimeSpan timeout = metadata?.GetMetadata<IRequestDeadlineMetadata>()?.Timeout ?? (IsUpgrade(context) ? Timeout.InfiniteTimeSpan : _defaultTimeout);
        Priority? priority = metadata?.GetMetadata<IPriorityMetadata>()?.Priority;
        if (!isTrusted)
        {
            return timeout == _defaultTimeout && priority is null ? _usual ??= Make(timeout, Timeout.InfiniteTimeSpan, null, null) : Shared(timeout, priority);
        }

        IHeaderDictionary headers = context.Request.Headers;
        return Make(timeout, CallerTimeout(context.Request), Id(headers), Priority(headers) ?? priority);
    }

    /// <summary>As many as endpoints declare different limits and priorities.</summary>
    private ScopeOptions Shared(TimeSpan timeout, Priority? priority)
    {
        ConcurrentDictionary<(TimeSpan Timeout, Priority? Priority), ScopeOptions> all = LazyInitializer.EnsureInitialized(ref _shared, static () => new());
        return all.TryGetValue((timeout, priority), out ScopeOptions? shared)
            ? shared
            : all.GetOrAdd((timeout, priority), key => Make(key.Timeout, Timeout.InfiniteTimeSpan, null, key.Priority));
    }

    public void ReadBaggage(IHeaderDictionary headers, RequestScope scope)
    {
        if (keys.Count == 0 || !headers.TryGetValue(ScopeHeaders.Baggage, out StringValues values))
        {
            return;
        }

        // Joining many lines would be work that the sender chooses; the cap holds before that.
        int length = 0;
        foreach (string? line in values)
        {
            length += (line?.Length ?? 0) + 1;
        }

        bool isTooMuch = values.Count > BaggageCodec.MaximumMembers || length > BaggageCodec.MaximumLength + values.Count;
        string text = values.Count == 1 || isTooMuch ? values[0] ?? "" : string.Join(',', values.AsEnumerable());
        if (!BaggageCodec.ReadInto(text, keys, scope) || isTooMuch)
        {
            monitor.NoteRejectedHeader(ScopeHeaders.Baggage);
        }
    }

    public static bool IsGrpc(HttpRequest request) =>
        request.ContentType is { } type && type.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase)
        && (type.Length == 16 || type[16] is '+' or ';');

    private ScopeOptions Make(TimeSpan timeout, TimeSpan callerTimeout, string? id, Priority? priority) => new()
    {
        Timeout = timeout,
        LongLived = timeout == Timeout.InfiniteTimeSpan,
        CallerTimeout = callerTimeout,
        Id = id,
        Priority = priority,
        TimeProvider = timeProvider,
        Monitor = monitor,
        SkipStack = true, // it is the middleware's own, always
    };

    private static bool IsUpgrade(HttpContext context) =>
        context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true } || context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true };

    private TimeSpan CallerTimeout(HttpRequest request)
    {
        bool isGrpc = IsGrpc(request);
        string name = isGrpc ? DeadlineCodec.GrpcTimeoutHeader : DeadlineCodec.TimeoutHeader;
        if (Single(request.Headers, name) is not { } text)
        {
            return Timeout.InfiniteTimeSpan;
        }

        bool isRead = isGrpc ? DeadlineCodec.TryReadGrpc(text, out TimeSpan asked) : DeadlineCodec.TryReadMilliseconds(text, out asked);
        if (isRead)
        {
            return _policy.Inbound(asked);
        }

        monitor.NoteRejectedHeader(name);
        return Timeout.InfiniteTimeSpan;
    }

    private string? Id(IHeaderDictionary headers)
    {
        string? id = Single(headers, ScopeHeaders.RequestId);
        if (id is null || ScopeHeaders.IsRequestId(id))
        {
            return id;
        }

        monitor.NoteRejectedHeader(ScopeHeaders.RequestId);
        return null;
    }

    private Priority? Priority(IHeaderDictionary headers)
    {
        if (Single(headers, ScopeHeaders.Priority) is not { } text)
        {
            return null;
        }

        if (ScopeHeaders.TryReadPriority(text, out Priority priority))
        {
            return priority;
        }

        monitor.NoteRejectedHeader(ScopeHeaders.Priority);
        return null;
    }

    /// <summary>The header's one value. Two values mean that somebody on the way added one: none of them is believed.</summary>
    private string? Single(IHeaderDictionary headers, string name)
    {
        if (!headers.TryGetValue(name, out StringValues values) || values.Count == 0)
        {
            return null;
        }

        if (values.Count == 1)
        {
            return values[0] ?? "";
        }

        monitor.NoteRejectedHeader(name);
        return null;
    }
}
