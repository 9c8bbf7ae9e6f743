using System.Globalization;

namespace Resilience.Context;

/// <summary>
/// How a budget of time is written on the wire: always what is left, never a moment, because two machines do not agree about moments.
/// What is written is rounded down, so that no hop gains time.
/// </summary>
public static class DeadlineCodec
{
    /// <summary>The header for HTTP: whole milliseconds left, decimal digits only.</summary>
    public const string TimeoutHeader = "X-Request-Timeout-Ms";

    /// <summary>The header of gRPC: one to eight digits and a unit of H, M, S, m, u, n.</summary>
    public const string GrpcTimeoutHeader = "grpc-timeout";

    /// <summary>The most digits that are read in <see cref="TimeoutHeader"/>; 12, about 31 years.</summary>
    private const int MaximumDigits = 12;

    private const long MaximumGrpcNumber = 99_999_999;

    /// <summary>Reads <see cref="TimeoutHeader"/>.</summary>
    /// <param name="text">The header's value.</param>
    /// <param name="timeout">What is left.</param>
    /// <returns>False for anything but one to twelve decimal digits.</returns>
    public static bool TryReadMilliseconds(ReadOnlySpan<char> text, out TimeSpan timeout)
    {
        if (!TryReadDigits(text, MaximumDigits, out long number))
        {
            timeout = default;
            return false;
        }

        timeout = new TimeSpan(number * TimeSpan.TicksPerMillisecond);
        return true;
    }

    /// <summary>Reads <see cref="GrpcTimeoutHeader"/>.</summary>
    /// <param name="text">The header's value, such as <c>1500m</c>; units tell <c>M</c> (minutes) from <c>m</c> (milliseconds).</param>
    /// <param name="timeout">What is left, rounded down to 100 ns.</param>
    /// <returns>False for anything that the gRPC protocol does not allow.</returns>
    public static bool TryReadGrpc(ReadOnlySpan<char> text, out TimeSpan timeout)
    {
        timeout = default;
        if (text.Length < 2 || !TryReadDigits(text[..^1], 8, out long number))
        {
            return false;
        }

        long ticks = text[^1] switch
        {
            'H' => number * TimeSpan.TicksPerHour,
            'M' => number * TimeSpan.TicksPerMinute,
            'S' => number * TimeSpan.TicksPerSecond,
            'm' => number * TimeSpan.TicksPerMillisecond,
            'u' => number * TimeSpan.TicksPerMicrosecond,
            'n' => number / TimeSpan.NanosecondsPerTick,
            _ => -1,
        };
        if (ticks < 0)
        {
            return false;
        }

        timeout = new TimeSpan(ticks);
        return true;
    }

    /// <summary>Writes the value of <see cref="TimeoutHeader"/>, rounded down to whole milliseconds.</summary>
    /// <param name="timeout">What is left; not negative.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is negative or infinite.</exception>
    public static string WriteMilliseconds(TimeSpan timeout)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        return Math.Min(timeout.Ticks / TimeSpan.TicksPerMillisecond, 999_999_999_999).ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Writes the value of <see cref="GrpcTimeoutHeader"/>, rounded down to the finest unit that fits eight digits.</summary>
    /// <param name="timeout">What is left; not negative.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is negative or infinite.</exception>
    public static string WriteGrpc(TimeSpan timeout)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        long milliseconds = timeout.Ticks / TimeSpan.TicksPerMillisecond;
        long seconds = timeout.Ticks / TimeSpan.TicksPerSecond;
        return milliseconds <= MaximumGrpcNumber
            ? string.Create(CultureInfo.InvariantCulture, $"{milliseconds}m")
            : seconds <= MaximumGrpcNumber
            ? string.Create(CultureInfo.InvariantCulture, $"{seconds}S")
            : string.Create(CultureInfo.InvariantCulture, $"{Math.Min(timeout.Ticks / TimeSpan.TicksPerHour, MaximumGrpcNumber)}H");
    }

    private static bool TryReadDigits(ReadOnlySpan<char> text, int maximum, out long number)
    {
        number = 0;
        if (text.IsEmpty || text.Length > maximum)
        {
            return false;
        }

        foreach (char digit in text)
        {
            if (!char.IsAsciiDigit(digit))
            {
                return false;
            }

            number = (number * 10) + (digit - '0');
        }

        return true;
    }
}
