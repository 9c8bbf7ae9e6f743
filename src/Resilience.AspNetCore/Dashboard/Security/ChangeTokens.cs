using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>
/// Tokens without which nothing is changed: each is bound to a browser (by a cookie that other sites cannot send), to a user and to an hour of this
/// process. Nothing is stored; after a restart the page fetches a new one.
/// </summary>
/// <remarks>
/// The platform's antiforgery would do as well, but it hangs on names, header and key ring that the application chooses for its own forms. Thread-safe.
/// </remarks>
internal sealed class ChangeTokens(TimeProvider time)
{
    public static readonly TimeSpan Lifetime = TimeSpan.FromHours(1);

    private const int SessionLength = 16;
    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);

    public static string NewSession() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(SessionLength));

    public static bool IsSession(string? session) =>
        session is { Length: 22 } && Base64Url.IsValid(session, out int length) && length == SessionLength;

    public string Issue(string session, string user)
    {
        byte[] token = new byte[sizeof(long) + HMACSHA256.HashSizeInBytes];
        BinaryPrimitives.WriteInt64BigEndian(token, time.GetTimestamp());
        Sign(token, session, user, token.AsSpan(sizeof(long)));
        return Base64Url.EncodeToString(token);
    }

    public bool IsValid(string? token, string? session, string user)
    {
        if (token is null || token.Length > 64 || !IsSession(session) || !Base64Url.IsValid(token, out int length) || length != sizeof(long) + HMACSHA256.HashSizeInBytes)
        {
            return false;
        }

        byte[] bytes = Base64Url.DecodeFromChars(token);
        Span<byte> expected = stackalloc byte[HMACSHA256.HashSizeInBytes];
        Sign(bytes, session!, user, expected);
        return CryptographicOperations.FixedTimeEquals(expected, bytes.AsSpan(sizeof(long)))
            && time.GetElapsedTime(BinaryPrimitives.ReadInt64BigEndian(bytes)) <= Lifetime;
    }

    private void Sign(byte[] token, string session, string user, Span<byte> destination)
    {
        // The session has a fixed length, so that no two pairs of session and user run together into the same text.
        byte[] text = [.. token.AsSpan(0, sizeof(long)), .. Encoding.UTF8.GetBytes(session + user)];
        HMACSHA256.HashData(_key, text, destination);
    }
}
