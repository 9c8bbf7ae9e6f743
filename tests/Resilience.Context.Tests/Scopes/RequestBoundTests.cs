namespace Resilience.Context.Tests.Scopes
{
    /// <summary>What belongs to a request is known by name, under whatever name its host's own class goes.</summary>
    public sealed class RequestBoundTests
    {
        private static readonly ScopeKey<object> Kept = new("bound-kept", ScopeFlow.Detach);

        [Fact]
        public void Set_FeaturesOfARequestUnderADetachedKey_AreRefused()
        {
            using RequestScope scope = RequestScope.Begin();
            Assert.Throws<ArgumentException>(() => scope.Set(Kept, new Host.Connection()));
            scope.Set(Kept, new Host.Unrelated());
            Assert.True(RequestBound.IsRequestType(typeof((int, Host.Connection))));
            Assert.True(RequestBound.IsRequestType(typeof(Microsoft.AspNetCore.Http.Features.IFeatureCollection)));
        }
    }

    internal static class Host
    {
        internal sealed class Connection : Microsoft.AspNetCore.Http.Features.IFeatureCollection;

        internal sealed class Unrelated : IComparable
        {
            public int CompareTo(object? obj) => 0;
        }
    }
}

namespace Microsoft.AspNetCore.Http.Features
{
    internal interface IFeatureCollection;
}
