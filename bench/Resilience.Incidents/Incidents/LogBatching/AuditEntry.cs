using System.Text;

namespace Resilience.Incidents.Incidents.LogBatching;

internal readonly record struct AuditEntry(int Order, string User, string Action)
{
    public void AppendTo(StringBuilder text) => text.Append(Order).Append('\t').Append(User).Append('\t').Append(Action).Append('\n');
}

/// <summary>An audit trail in a file that survives the machine: what is written has reached the disk.</summary>
internal sealed class AuditFile : IDisposable
{
    private readonly FileStream _file;
    private readonly StringBuilder _text = new();
    private byte[] _bytes = new byte[64 * 1024];

    public AuditFile(string path) => _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);

    public long Flushes { get; private set; }

    public void Append(AuditEntry entry)
    {
        _text.Clear();
        entry.AppendTo(_text);
        WriteThrough();
    }

    public void Append(IReadOnlyList<AuditEntry> entries)
    {
        _text.Clear();
        foreach (AuditEntry entry in entries)
        {
            entry.AppendTo(_text);
        }

        WriteThrough();
    }

    public void Dispose() => _file.Dispose();

    private void WriteThrough()
    {
        string text = _text.ToString();
        if (_bytes.Length < Encoding.UTF8.GetMaxByteCount(text.Length))
        {
            _bytes = new byte[Encoding.UTF8.GetMaxByteCount(text.Length)];
        }

        _file.Write(_bytes.AsSpan(0, Encoding.UTF8.GetBytes(text, _bytes)));
        _file.Flush(flushToDisk: true);
        Flushes++;
    }
}
