using Xunit;

namespace Resilience.TestKit;

/// <summary>
/// Waits for what another thread, a server or another process brings about, where there is no event to await: asks again and again until it
/// is so. A test waits for a condition and never for a time; what it waits for comes sooner or later on any machine.
/// </summary>
public static class Eventually
{
    /// <summary>
    /// How long a wait may take unless it says otherwise, in real time: a minute. On a busy machine a thread may not run for seconds, and a
    /// test that passes does not wait for it.
    /// </summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromMinutes(1);

    private static TimeSpan Pause { get; } = TimeSpan.FromMilliseconds(5);

    /// <summary>Waits until a condition is true.</summary>
    /// <param name="condition">Asked every few milliseconds, never twice at once.</param>
    /// <param name="what">What is waited for, in the words that a failure says it with.</param>
    /// <param name="timeout">How long to wait in real time; <see cref="Patience"/> by default.</param>
    public static Task TrueAsync(Func<bool> condition, string what, TimeSpan? timeout = null) =>
        TrueAsync(() => Task.FromResult(condition()), what, timeout);

    /// <inheritdoc cref="TrueAsync(Func{bool}, string, TimeSpan?)"/>
    public static Task TrueAsync(Func<Task<bool>> condition, string what, TimeSpan? timeout = null) =>
        UntilAsync(condition, static () => { }, what, timeout);

    /// <summary>
    /// Moves a clock on, step by step, until a condition is true. Between the steps what they woke has a moment to run, or a busy machine
    /// would see timeouts pass before the work that they bound had begun.
    /// </summary>
    /// <param name="time">The clock.</param>
    /// <param name="step">How far it is moved at once; the condition is asked between the steps.</param>
    /// <param name="condition">Asked before each step.</param>
    /// <param name="what">What is waited for, in the words that a failure says it with.</param>
    public static Task AdvanceUntilAsync(this ManualTimeProvider time, TimeSpan step, Func<bool> condition, string what) =>
        UntilAsync(() => Task.FromResult(condition()), () => time.Advance(step), what, null);

    private static async Task UntilAsync(Func<Task<bool>> condition, Action step, string what, TimeSpan? timeout)
    {
        TimeSpan limit = timeout ?? Patience;
        long end = Environment.TickCount64 + (long)limit.TotalMilliseconds;
        while (!await condition())
        {
            Assert.True(Environment.TickCount64 < end, $"Waited {limit.TotalSeconds:0} s in vain: {what}.");
            step();
            await Task.Delay(Pause);
        }
    }
}
