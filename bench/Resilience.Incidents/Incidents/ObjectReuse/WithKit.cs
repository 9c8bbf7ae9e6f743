using System.Buffers;
using System.Text;
using Resilience.Pools;

namespace Resilience.Incidents.Incidents.ObjectReuse;

/// <summary>
/// The builder and the bytes are taken from a reuse pool and go back when the lease ends. A lease that is returned twice, or used after
/// its return, is caught, where a bare object pool would hand one builder to two invoices.
/// </summary>
internal sealed class WithKit : IInvoices
{
    private const int LargestKept = 256 * 1024;

    private readonly ReusePool<Workspace> _workspaces = new(static () => new Workspace(), static workspace => workspace.TryReset());

    public int Send(int number, Stream output)
    {
        using ReuseLease<Workspace> lease = _workspaces.Rent();
        Workspace workspace = lease.Value;
        Invoice.Write(workspace.Text, number);
        foreach (ReadOnlyMemory<char> chunk in workspace.Text.GetChunks())
        {
            Encoding.UTF8.GetBytes(chunk.Span, workspace.Bytes);
        }

        output.Write(workspace.Bytes.WrittenSpan);
        return workspace.Bytes.WrittenCount;
    }

    private sealed class Workspace
    {
        public StringBuilder Text { get; } = new(48 * 1024);

        public ArrayBufferWriter<byte> Bytes { get; } = new(48 * 1024);

        public bool TryReset()
        {
            Text.Clear();
            Bytes.ResetWrittenCount();
            return Text.Capacity <= LargestKept && Bytes.Capacity <= LargestKept;
        }
    }
}
