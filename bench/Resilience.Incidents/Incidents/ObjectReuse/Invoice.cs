using System.Globalization;
using System.Text;

namespace Resilience.Incidents.Incidents.ObjectReuse;

/// <summary>An invoice of 500 lines, some 30 KB of text.</summary>
internal static class Invoice
{
    private const int Lines = 500;

    public static void Write(StringBuilder text, int number)
    {
        text.Append(CultureInfo.InvariantCulture, $"Invoice {number}\n");
        for (int line = 1; line <= Lines; line++)
        {
            text.Append(CultureInfo.InvariantCulture, $"{line,4} article {number % 1000 + line,6}  {line % 7 + 1,3} pieces at {line * 0.99m,10:F2}  = {line % 7 * line * 0.99m,12:F2}\n");
        }
    }
}

/// <summary>Where an invoice is sent: it wants bytes.</summary>
internal interface IInvoices
{
    /// <summary>Renders and sends; returns how many bytes went out.</summary>
    int Send(int number, Stream output);
}
