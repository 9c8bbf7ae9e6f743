namespace Resilience.Degrade;

/// <summary>How hard something presses on the process.</summary>
public enum PressureLevel
{
    /// <summary>No reason to do less.</summary>
    Normal = 0,

    /// <summary>Above the first threshold: bulk work and nice-to-haves give way.</summary>
    Elevated = 1,

    /// <summary>Above the second threshold: only what matters goes on.</summary>
    High = 2,

    /// <summary>Above the third threshold: the process is about to fail.</summary>
    Critical = 3,
}
