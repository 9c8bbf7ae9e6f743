using System.Text;
using Resilience.Caching.Hashing;

namespace Resilience.Caching.Tests.Hashing;

public class XxHash64Tests
{
    private const ulong Prime32 = 2654435761;
    private const ulong Prime64 = 11400714785074694797;

    // The sanity checks that xxHash itself ships (its generator, lengths and seeds).
    [Theory]
    [InlineData(0, 0UL, 0xEF46DB3751D8E999UL)]
    [InlineData(0, Prime32, 0xAC75FDA2929B17EFUL)]
    [InlineData(1, 0UL, 0xE934A84ADB052768UL)]
    [InlineData(1, Prime32, 0x5014607643A9B4C3UL)]
    [InlineData(4, 0UL, 0x9136A0DCA57457EEUL)]
    [InlineData(14, 0UL, 0x8282DCC4994E35C8UL)]
    [InlineData(14, Prime32, 0xC3BD6BF63DEB6DF0UL)]
    [InlineData(222, 0UL, 0xB641AE8CB691C174UL)]
    [InlineData(222, Prime32, 0x20CB8AB7AE10C14AUL)]
    public void Hash_SanityBuffer_EqualsPublishedVector(int length, ulong seed, ulong expected) =>
        Assert.Equal(expected, XxHash64.Hash(SanityBuffer(length), seed));

    [Theory]
    [InlineData("a", 0xD24EC4F1A98C6E5BUL)]
    [InlineData("abc", 0x44BC2CF5AD770999UL)]
    [InlineData("abcdefghijklmnopqrstuvwxyz", 0xCFE1F278FA89835CUL)]
    public void Hash_Ascii_EqualsPublishedVector(string text, ulong expected) =>
        Assert.Equal(expected, XxHash64.Hash(Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void Hash_Text_EqualsHashOfItsLittleEndianBytes()
    {
        string text = "product:žluťoučký-kůň:";
        for (int length = 0; length <= 90; length++)
        {
            string key = string.Concat(Enumerable.Repeat(text, 5))[..length];
            Assert.Equal(XxHash64.Hash(Encoding.Unicode.GetBytes(key), 42), XxHash64.Hash(key, 42));
        }
    }

    [Fact]
    public void Hash_Text_AllocatesNothing()
    {
        string key = new('k', 77);
        ulong sum = XxHash64.Hash(key);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            sum += XxHash64.Hash(key, sum);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.NotEqual(0UL, sum);
    }

    private static byte[] SanityBuffer(int length)
    {
        var buffer = new byte[length];
        ulong generator = Prime32;
        for (int i = 0; i < length; i++)
        {
            buffer[i] = (byte)(generator >> 56);
            generator *= Prime64;
        }

        return buffer;
    }
}
