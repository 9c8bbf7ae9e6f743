using System.Net;

namespace Resilience.AspNetCore.Scopes;

/// <summary>The networks whose callers are believed. Immutable.</summary>
internal sealed class TrustedPeers
{
    private readonly IPNetwork[] _networks;

    public TrustedPeers(IEnumerable<string> peers)
    {
        string[] texts = [.. peers];
        _networks = new IPNetwork[texts.Length];
        for (int i = 0; i < texts.Length; i++)
        {
            _networks[i] = Parse(texts[i]);
        }
    }

    /// <summary>Whether nobody is believed.</summary>
    public bool IsEmpty => _networks.Length == 0;

    /// <summary>Whether an address belongs to one of the networks; never for a caller without an address, such as one on a Unix socket.</summary>
    public bool Contains(IPAddress? address)
    {
        if (_networks.Length == 0 || address is null)
        {
            return false;
        }

        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        foreach (IPNetwork network in _networks)
        {
            if (network.Contains(address))
            {
                return true;
            }
        }

        return false;
    }

    private static IPNetwork Parse(string peer)
    {
        if (IPNetwork.TryParse(peer, out IPNetwork network))
        {
            return network;
        }

        var address = IPAddress.Parse(peer);
        return new IPNetwork(address, address.GetAddressBytes().Length * 8);
    }
}
