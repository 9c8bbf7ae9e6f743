using System.Collections.Frozen;

namespace Resilience.Degrade;

/// <summary>The levels of all signals at one moment. Immutable.</summary>
/// <param name="Levels">The level of each signal by name.</param>
/// <param name="Overall">The highest level among the signals that speak for the whole process.</param>
/// <param name="Loudest">The signal that has it; empty when nothing presses.</param>
internal sealed record PressureReading(FrozenDictionary<string, PressureLevel> Levels, PressureLevel Overall, string Loudest)
{
    public static readonly PressureReading Calm = new(FrozenDictionary<string, PressureLevel>.Empty, PressureLevel.Normal, "");

    /// <summary>The level that counts for a feature, and the signal it comes from.</summary>
    public (PressureLevel Level, string Signal) For(string[] triggers)
    {
        if (triggers.Length == 0)
        {
            return (Overall, Loudest);
        }

        (PressureLevel level, string signal) = (PressureLevel.Normal, "");
        foreach (string trigger in triggers)
        {
            if (Levels.TryGetValue(trigger, out PressureLevel of) && of > level)
            {
                (level, signal) = (of, trigger);
            }
        }

        return (level, signal);
    }
}
