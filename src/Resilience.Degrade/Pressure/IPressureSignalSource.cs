namespace Resilience.Degrade;

/// <summary>Signals that are known only when the host starts, such as one for each pool that is registered.</summary>
public interface IPressureSignalSource
{
    /// <summary>The signals. Asked once, when the monitor starts.</summary>
    IEnumerable<IPressureSignal> Signals { get; }
}
