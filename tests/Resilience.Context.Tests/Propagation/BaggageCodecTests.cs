using FsCheck;
using FsCheck.Fluent;

namespace Resilience.Context.Tests.Propagation;

public sealed class BaggageCodecTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Propagate);
    private static readonly ScopeKey<int> Shard = new("shard", ScopeFlow.Propagate, static value => value.ToString(), int.Parse);
    private static readonly Dictionary<string, ScopeKey> Known = new(StringComparer.Ordinal) { ["tenant"] = Tenant, ["shard"] = Shard };

    [Theory]
    [InlineData("tenant=acme,shard=7", "acme", 7, true)]
    [InlineData(" tenant = acme ;prop=1 , unknown=x, shard=7", "acme", 7, true)]
    [InlineData("tenant=a%20b", "a b", 0, true)]
    [InlineData("shard=seven,tenant=acme", "acme", 0, false)]
    [InlineData("tenant=a%0d%0ab", null, 0, false)]
    [InlineData("tenant", null, 0, false)]
    [InlineData("", null, 0, true)]
    public void ReadInto_TakesKnownMembersOnly(string header, string? tenant, int shard, bool isWhole)
    {
        using RequestScope scope = RequestScope.Begin();
        Assert.Equal(isWhole, BaggageCodec.ReadInto(header, Known, scope));
        Assert.Equal(tenant, scope.Get(Tenant));
        Assert.Equal(shard, scope.Get(Shard));
    }

    [Fact]
    public void ReadInto_TooManyMembers_StopsAtTheLimit()
    {
        using RequestScope scope = RequestScope.Begin();
        string header = string.Join(',', Enumerable.Range(0, BaggageCodec.MaximumMembers).Select(index => $"x{index}=1")) + ",tenant=acme";
        Assert.False(BaggageCodec.ReadInto(header, Known, scope));
        Assert.Null(scope.Get(Tenant));
    }

    [Fact]
    public void ReadInto_TooLong_DropsWholeMembersBeforeParsing()
    {
        using RequestScope scope = RequestScope.Begin();
        string header = $"shard=7,x={new string('x', BaggageCodec.MaximumLength - 20)},tenant={new string('a', 1000)}";
        Assert.False(BaggageCodec.ReadInto(header, Known, scope));
        Assert.Equal(7, scope.Get(Shard));
        Assert.Null(scope.Get(Tenant));
    }

    [Fact]
    public void Write_BeyondTheLimits_DropsWholeMembers()
    {
        object?[] items = [Tenant, new string('a', BaggageCodec.MaximumLength), Shard, 7];
        Assert.Equal("shard=7", BaggageCodec.Write(items));
        string full = string.Join(',', Enumerable.Range(0, BaggageCodec.MaximumMembers).Select(index => $"x{index}=1"));
        Assert.Null(BaggageCodec.Write(items, full));
    }

    [Fact]
    public void WriteThenRead_AnyTextWithoutControls_ComesBack() =>
        Prop.ForAll(ArbMap.Default.ArbFor<NonNull<string>>(), text =>
        {
            string value = new([.. text.Get.Where(static character => !char.IsControl(character) && !char.IsSurrogate(character))]);
            using RequestScope scope = RequestScope.Begin();
            string header = BaggageCodec.Write([Tenant, value])!;
            return header.All(static character => character is > ' ' and < (char)127)
                && BaggageCodec.ReadInto(header, Known, scope) && scope.Get(Tenant) == value;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void ReadInto_AnyText_NeverThrows() =>
        Prop.ForAll(ArbMap.Default.ArbFor<string?>(), ArbMap.Default.ArbFor<string?>(), static (name, value) =>
        {
            using RequestScope scope = RequestScope.Begin();
            BaggageCodec.ReadInto($"{name},tenant={value};{name}={value}", Known, scope);
            return !(scope.Get(Tenant) ?? "").Any(char.IsControl);
        }).QuickCheckThrowOnFailure();
}
