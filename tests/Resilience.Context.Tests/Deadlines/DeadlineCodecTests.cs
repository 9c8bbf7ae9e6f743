using FsCheck;
using FsCheck.Fluent;

namespace Resilience.Context.Tests.Deadlines;

public sealed class DeadlineCodecTests
{
    [Theory]
    [InlineData("1H", 36_000_000_000)]
    [InlineData("1M", 600_000_000)]
    [InlineData("1S", 10_000_000)]
    [InlineData("1m", 10_000)]
    [InlineData("1u", 10)]
    [InlineData("100n", 1)]
    [InlineData("199n", 1)]
    [InlineData("0n", 0)]
    [InlineData("99999999H", 99_999_999 * TimeSpan.TicksPerHour)]
    [InlineData("00000001S", 10_000_000)]
    public void TryReadGrpc_ValidText_IsRead(string text, long ticks)
    {
        Assert.True(DeadlineCodec.TryReadGrpc(text, out TimeSpan timeout));
        Assert.Equal(ticks, timeout.Ticks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("m")]
    [InlineData("-1m")]
    [InlineData("+1m")]
    [InlineData(" 1m")]
    [InlineData("1m ")]
    [InlineData("1.5S")]
    [InlineData("100000000m")]
    [InlineData("1x")]
    [InlineData("1ms")]
    [InlineData("1m,2m")]
    [InlineData("1m\r\n")]
    [InlineData("١m")]
    [InlineData("9223372036854775807n")]
    public void TryReadGrpc_InvalidText_IsRefused(string text) => Assert.False(DeadlineCodec.TryReadGrpc(text, out _));

    [Theory]
    [InlineData("0", 0)]
    [InlineData("250", 250)]
    [InlineData("000250", 250)]
    [InlineData("999999999999", 999_999_999_999)]
    public void TryReadMilliseconds_ValidText_IsRead(string text, long milliseconds)
    {
        Assert.True(DeadlineCodec.TryReadMilliseconds(text, out TimeSpan timeout));
        Assert.Equal(milliseconds, timeout.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("1.5")]
    [InlineData("1e3")]
    [InlineData("0x10")]
    [InlineData("1000000000000")]
    [InlineData("99999999999999999999")]
    [InlineData("250ms")]
    [InlineData("250, 300")]
    [InlineData("250\r\nX-Evil: 1")]
    [InlineData("٢٥٠")]
    public void TryReadMilliseconds_InvalidText_IsRefused(string text) => Assert.False(DeadlineCodec.TryReadMilliseconds(text, out _));

    [Fact]
    public void WriteThenRead_NeverGains_AndLosesAtMostOneUnit() =>
        Prop.ForAll(ArbMap.Default.ArbFor<NonNegativeInt>(), ArbMap.Default.ArbFor<NonNegativeInt>(), (high, low) =>
        {
            TimeSpan sent = new(((long)high.Get * 1_000_003L) + low.Get);
            return DeadlineCodec.TryReadMilliseconds(DeadlineCodec.WriteMilliseconds(sent), out TimeSpan plain)
                && DeadlineCodec.TryReadGrpc(DeadlineCodec.WriteGrpc(sent), out TimeSpan grpc)
                && plain <= sent && sent - plain < TimeSpan.FromMilliseconds(1)
                && grpc <= sent && sent - grpc < TimeSpan.FromHours(1);
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData("00:00:01.5009", "1500m")]
    [InlineData("1.03:46:40", "100000S")]
    [InlineData("10675199.02:48:05", "99999999H")]
    public void WriteGrpc_TakesTheFinestUnitThatFits(string timeout, string expected)
    {
        string written = DeadlineCodec.WriteGrpc(TimeSpan.Parse(timeout, System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(expected, written);
        Assert.InRange(written.Length, 2, 9);
    }

    [Fact]
    public void Read_AnyText_NeverThrows() =>
        Prop.ForAll(ArbMap.Default.ArbFor<string>(), text =>
        {
            bool grpc = DeadlineCodec.TryReadGrpc(text, out TimeSpan first);
            bool plain = DeadlineCodec.TryReadMilliseconds(text, out TimeSpan second);
            return (grpc || first == default) && (plain || second == default) && first >= TimeSpan.Zero && second >= TimeSpan.Zero;
        }).QuickCheckThrowOnFailure();
}
