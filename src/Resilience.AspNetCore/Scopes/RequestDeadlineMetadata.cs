using Microsoft.AspNetCore.Builder;
using System.Globalization;
using Resilience.AspNetCore;

namespace Resilience.AspNetCore
{
    /// <summary>How long the requests of an endpoint may take, in place of the default timeout; read when their scope begins.</summary>
    public interface IRequestDeadlineMetadata
    {
        /// <summary>The limit; infinite for an endpoint that is meant to stay, such as one that streams.</summary>
        TimeSpan Timeout { get; }
    }

    /// <summary>Says how long the requests of a controller, an action or an endpoint may take.</summary>
    [AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
    public sealed class RequestDeadlineAttribute : Attribute, IRequestDeadlineMetadata
    {
        /// <summary>Says it as text.</summary>
        /// <param name="timeout">The limit as <c>hh:mm:ss[.fff]</c>, or <c>Infinite</c>.</param>
        /// <exception cref="ArgumentException">The text is no positive time.</exception>
        public RequestDeadlineAttribute(string timeout)
            : this(Parse(timeout))
        {
        }

        internal RequestDeadlineAttribute(TimeSpan timeout)
        {
            if (timeout <= TimeSpan.Zero && timeout != System.Threading.Timeout.InfiniteTimeSpan)
            {
                throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "The deadline of an endpoint must be positive, or infinite.");
            }

            Timeout = timeout;
        }

        /// <inheritdoc/>
        public TimeSpan Timeout { get; }

        private static TimeSpan Parse(string text) =>
            "Infinite".Equals(text, StringComparison.OrdinalIgnoreCase) ? System.Threading.Timeout.InfiniteTimeSpan
            : TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan timeout) ? timeout
            : throw new ArgumentException($"'{text}' is no time such as 00:00:02.", nameof(text));
    }
}

namespace Microsoft.AspNetCore.Builder
{
    /// <summary>Limits the time of endpoints.</summary>
    public static class RequestDeadlineEndpointExtensions
    {
        /// <summary>Says how long requests may take, in place of the default timeout. A caller that can wait less still decides.</summary>
        /// <typeparam name="TBuilder">The endpoint or group.</typeparam>
        /// <param name="builder">The endpoint or group.</param>
        /// <param name="timeout">The limit; infinite for an endpoint that is meant to stay, whose scopes then never count as leaked.</param>
        /// <exception cref="ArgumentOutOfRangeException">It is not positive and not infinite.</exception>
        public static TBuilder WithRequestDeadline<TBuilder>(this TBuilder builder, TimeSpan timeout)
            where TBuilder : IEndpointConventionBuilder =>
            builder.WithMetadata(new RequestDeadlineAttribute(timeout));
    }
}
