using System.Reflection.Emit;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;

namespace Resilience.Integration.Tests.Architecture;

/// <summary>Lists who calls what in an assembly, from its IL: exact where a search of the sources would guess.</summary>
internal static class IlScan
{
    private static readonly Dictionary<int, OpCode> OpCodesByValue = typeof(OpCodes).GetFields()
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToDictionary(code => (int)(ushort)code.Value);

    /// <summary>Every call of a method of another assembly: the caller, and the method with its parameter types.</summary>
    /// <param name="assembly">The assembly's path.</param>
    public static IEnumerable<(string Caller, string Called)> ForeignCalls(string assembly)
    {
        using FileStream stream = File.OpenRead(assembly);
        using var portable = new PEReader(stream);
        MetadataReader reader = portable.GetMetadataReader();
        var names = new SignatureNames(reader);
        foreach (MethodDefinition method in reader.MethodDefinitions.Select(reader.GetMethodDefinition).Where(method => method.RelativeVirtualAddress != 0))
        {
            string caller = $"{SignatureNames.NameOf(reader, method.GetDeclaringType())}.{reader.GetString(method.Name)}";
            foreach (EntityHandle target in CallTargets(portable.GetMethodBody(method.RelativeVirtualAddress).GetILReader()))
            {
                if (names.Describe(target) is { } called)
                {
                    yield return (caller, called);
                }
            }
        }
    }

    private static List<EntityHandle> CallTargets(BlobReader il)
    {
        var targets = new List<EntityHandle>();
        while (il.RemainingBytes > 0)
        {
            int value = il.ReadByte();
            OpCode code = OpCodesByValue[value == 0xFE ? 0xFE00 | il.ReadByte() : value];
            switch (code.OperandType)
            {
                case OperandType.InlineMethod:
                    targets.Add(MetadataTokens.EntityHandle(il.ReadInt32()));
                    break;
                case OperandType.InlineNone:
                    break;
                case OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar:
                    il.Offset += 1;
                    break;
                case OperandType.InlineVar:
                    il.Offset += 2;
                    break;
                case OperandType.InlineI8 or OperandType.InlineR:
                    il.Offset += 8;
                    break;
                case OperandType.InlineSwitch:
                    int cases = il.ReadInt32();
                    il.Offset += 4 * cases;
                    break;
                default:
                    il.Offset += 4;
                    break;
            }
        }

        return targets;
    }
}
