namespace Resilience.Degrade;

/// <summary>Something that can press on the process: a share of a bound that is used, or a time that something waits.</summary>
public interface IPressureSignal
{
    /// <summary>The name, such as <c>memory</c> or <c>pool:smtp</c>; where thresholds are looked up and what features name as a trigger.</summary>
    string Name { get; }

    /// <summary>
    /// Reads the value now. Called on the sampling thread about ten times a second: it must not block and should not allocate. A value that is
    /// not a number counts as "unknown" and changes nothing.
    /// </summary>
    double Read();
}
