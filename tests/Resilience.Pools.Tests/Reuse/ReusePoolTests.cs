using System.Text;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Reuse;

public sealed class ReusePoolTests
{
    private readonly ReusePool<StringBuilder> _pool = new(() => new StringBuilder(), static builder =>
    {
        builder.Clear();
        return builder.Capacity <= 1024;
    });

    [Fact]
    public void Rent_Returned_GivesItAgainReset()
    {
        ReuseLease<StringBuilder> first = _pool.Rent();
        StringBuilder builder = first.Value.Append("text");
        first.Dispose();
        using ReuseLease<StringBuilder> second = _pool.Rent();
        Assert.Same(builder, second.Value);
        Assert.Equal(0, second.Value.Length);
    }

    [Fact]
    public void Dispose_Twice_DoesNotShareTheObject()
    {
        ReuseLease<StringBuilder> lease = _pool.Rent();
        lease.Dispose();
        lease.Dispose();
        using ReuseLease<StringBuilder> one = _pool.Rent();
        lease.Dispose();
        using ReuseLease<StringBuilder> two = _pool.Rent();
        Assert.NotSame(one.Value, two.Value);
        Assert.Throws<ObjectDisposedException>(() => lease.Value);
    }

    [Fact]
    public void Dispose_GrownTooLarge_IsDropped()
    {
        ReuseLease<StringBuilder> lease = _pool.Rent();
        StringBuilder large = lease.Value.Append('x', 5000);
        lease.Dispose();
        using ReuseLease<StringBuilder> next = _pool.Rent();
        Assert.NotSame(large, next.Value);
    }

    [Fact]
    public void RentAndReturn_Warm_AllocatesNothing() => AllocationAssert.AtMost(0, () => _pool.Rent().Dispose());
}
