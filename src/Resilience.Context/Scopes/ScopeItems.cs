namespace Resilience.Context;

/// <summary>
/// The values of a scope: keys and values in turn in an array that is never written again, so that siblings in parallel tasks and children
/// share it without a lock. A scope carries a handful, for which a scan is faster than hashing.
/// </summary>
internal static class ScopeItems
{
    public static bool TryGet(object?[]? items, ScopeKey key, out object? value)
    {
        if (items is not null)
        {
            for (int index = 0; index < items.Length; index += 2)
            {
                if (ReferenceEquals(items[index], key))
                {
                    value = items[index + 1];
                    return true;
                }
            }
        }

        value = null;
        return false;
    }

    public static object?[] With(object?[]? items, ScopeKey key, object? value)
    {
        if (items is null)
        {
            return [key, value];
        }

        for (int index = 0; index < items.Length; index += 2)
        {
            if (ReferenceEquals(items[index], key))
            {
                object?[] replaced = [.. items];
                replaced[index + 1] = value;
                return replaced;
            }
        }

        return [.. items, key, value];
    }

    /// <summary>The values whose keys have a flag; the same array when all have, nothing when none has.</summary>
    public static object?[]? Only(object?[]? items, ScopeFlow flow)
    {
        if (items is null)
        {
            return null;
        }

        int count = 0;
        for (int index = 0; index < items.Length; index += 2)
        {
            count += (((ScopeKey)items[index]!).Flow & flow) != ScopeFlow.None ? 2 : 0;
        }

        if (count == 0 || count == items.Length)
        {
            return count == 0 ? null : items;
        }

        object?[] some = new object?[count];
        int next = 0;
        for (int index = 0; index < items.Length; index += 2)
        {
            if ((((ScopeKey)items[index]!).Flow & flow) != ScopeFlow.None)
            {
                some[next++] = items[index];
                some[next++] = items[index + 1];
            }
        }

        return some;
    }
}
