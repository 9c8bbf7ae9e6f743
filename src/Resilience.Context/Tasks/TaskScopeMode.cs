namespace Resilience.Context;

/// <summary>What a <see cref="TaskScope"/> makes of the ends of its tasks.</summary>
public enum TaskScopeMode
{
    /// <summary>All must succeed: the first failure cancels the others, and joining throws it.</summary>
    FailFast = 0,

    /// <summary>Each stands for itself: none is cancelled, and joining throws all failures in an <see cref="AggregateException"/>.</summary>
    CollectAll = 1,

    /// <summary>One is enough: the first success cancels the others; joining throws only when none succeeded.</summary>
    FirstSuccess = 2,
}
