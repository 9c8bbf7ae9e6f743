using System.Text;

namespace Resilience.Incidents.Incidents.ObjectReuse;

/// <summary>A builder, a string, bytes: three lines that everybody has written.</summary>
/// <remarks>
/// Why it fails: each invoice makes its text three times over, in the builder's chunks, in a string and in an array, and drops all three.
/// At a few hundred invoices a second the collector runs all the time, and every request shares its pauses.
/// </remarks>
internal sealed class Naive : IInvoices
{
    public int Send(int number, Stream output)
    {
        var text = new StringBuilder();
        Invoice.Write(text, number);
        byte[] bytes = Encoding.UTF8.GetBytes(text.ToString());
        output.Write(bytes);
        return bytes.Length;
    }
}
