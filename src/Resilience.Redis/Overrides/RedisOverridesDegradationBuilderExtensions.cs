using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using Resilience.Redis;
using Resilience.Redis.Overrides;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Shares overrides of features between nodes through Redis.</summary>
public static class RedisOverridesDegradationBuilderExtensions
{
    /// <summary>
    /// Keeps overrides in Redis and tells every node of them within moments, or within 15 s where a message was lost. Each command is signed with
    /// <see cref="OverrideSettings.SigningKey"/>, which all nodes share: whoever can write to Redis can neither make one nor change one. A Redis that is
    /// away changes nothing: what is in force stays until it ends, and an operator can still make a feature do less on the node at hand.
    /// </summary>
    /// <param name="builder">The builder.</param>
    /// <param name="lastKnownGood">
    /// A file on this node that keeps what was last known, signed, for a start while Redis is away and against an older command that is put in the place of
    /// a newer one; its directory must be there. None when <see langword="null"/>.
    /// </param>
    /// <remarks>
    /// Needs <see cref="RedisServiceCollectionExtensions.AddResilienceRedis(IServiceCollection, Action{RedisOptions})"/>, which it calls. The host does not
    /// start without <c>Overrides:SigningKey</c> or without a configured Redis.
    /// </remarks>
    public static IDegradationBuilder AddRedisOverrides(this IDegradationBuilder builder, string? lastKnownGood = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddResilienceRedis();
        return builder.AddOverrideStore(
            static (provider, codec) =>
            {
                RedisConnection connection = provider.GetRequiredService<RedisConnection>();
                return connection.IsConfigured
                    ? new RedisOverrideStore(connection, codec, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<RedisOverrideStore>>())
                    : throw new InvalidOperationException("Overrides are to be shared through Redis, and none is configured: set Resilience:Redis:Configuration, or leave AddRedisOverrides() out.");
            },
            lastKnownGood);
    }
}
