namespace Resilience.Context.Tests.Scopes;

/// <summary>Something a request would carry; big enough to be missed on the heap.</summary>
internal sealed class Payload
{
    public byte[] Bytes { get; } = new byte[1024];
}
