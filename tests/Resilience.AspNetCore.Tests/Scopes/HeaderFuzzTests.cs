using System.Collections.Frozen;
using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Resilience.AspNetCore.Scopes;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Scopes;

/// <summary>Whatever a trusted peer sends as headers: the scope begins, within the limits that the service has set, and nothing that could not be sent on is taken.</summary>
public sealed class HeaderFuzzTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Propagate);
    private static readonly ScopeKey<int> Shard = new("shard", ScopeFlow.Propagate, static value => value.ToString(System.Globalization.CultureInfo.InvariantCulture), int.Parse);
    private static readonly FrozenDictionary<string, ScopeKey> Keys = new Dictionary<string, ScopeKey> { ["tenant"] = Tenant, ["shard"] = Shard }.ToFrozenDictionary(StringComparer.Ordinal);
    private static readonly TimeSpan MaxInbound = TimeSpan.FromSeconds(5);

    private static readonly string[] Corpus =
    [
        "X-Request-Timeout-Ms: 250\nX-Request-Id: abc-1\nX-Request-Priority: low\nbaggage: tenant=acme,shard=7;p=1",
        "grpc-timeout: 1500m\nContent-Type: application/grpc\nX-Request-Priority: Critical",
        "Content-Type: application/grpc+proto\ngrpc-timeout: 99999999H\nbaggage: tenant=a%20b\nbaggage: shard=1",
        "X-Request-Timeout-Ms: 999999999999\nX-Request-Timeout-Ms: 1",
    ];

    [Fact]
    public void Begin_DamagedHeaders_KeepsTheLimits()
    {
        using var monitor = new ScopeMonitor();
        var settings = new ContextSettings { MaxInboundTimeout = MaxInbound, DefaultTimeout = TimeSpan.FromSeconds(10) };
        settings.TrustedPeers.Add("127.0.0.0/8");
        var inbound = new InboundScope(settings, Keys, [], monitor, TimeProvider.System);

        Fuzz.Text(Corpus, text =>
        {
            var context = new DefaultHttpContext();
            context.Connection.RemoteIpAddress = IPAddress.Loopback;
            foreach (string line in text.Split('\n'))
            {
                int colon = line.IndexOf(':', StringComparison.Ordinal);
                string name = colon < 0 ? line : line[..colon];
                if (name.Length > 0)
                {
                    context.Request.Headers.Append(name, new StringValues(colon < 0 ? "" : line[(colon + 1)..].Trim(' ')));
                }
            }

            Assert.True(inbound.IsTrusted(context));
            ScopeOptions options = inbound.Options(context, isTrusted: true);
            using RequestScope scope = RequestScope.Begin(options);
            inbound.ReadBaggage(context.Request.Headers, scope);

            Assert.True(options.CallerTimeout == Timeout.InfiniteTimeSpan || (options.CallerTimeout >= TimeSpan.Zero && options.CallerTimeout <= MaxInbound), $"a caller's timeout of {options.CallerTimeout}");
            Assert.True(ScopeHeaders.IsRequestId(scope.Id), "an identifier that cannot be sent on");
            Assert.InRange(scope.Priority, Priority.Critical, Priority.Bulk);
            Assert.DoesNotContain(scope.Get(Tenant) ?? "", char.IsControl);
        });
    }
}
