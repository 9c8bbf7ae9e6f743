namespace Resilience.Degrade;

/// <summary>
/// Commands that hold on this node only, because the store could not keep them when they were issued: at most one of each feature, until it is shared, is
/// followed by something newer, or ends.
/// </summary>
/// <remarks>Not thread-safe: guarded by the lock of the <see cref="OverrideDesk"/>.</remarks>
internal sealed class UnsharedOverrides
{
    private readonly Dictionary<string, OverrideCommand> _commands = new(StringComparer.OrdinalIgnoreCase);
    private string? _onItsWay;
    private Task _arrived = Task.CompletedTask;

    /// <summary>Takes one in, in place of a former one.</summary>
    public void Add(OverrideCommand command) => _commands[command.Feature] = command;

    /// <summary>Takes the one of a feature out, because its operator has something else to say.</summary>
    /// <param name="feature">The name of the feature.</param>
    /// <param name="arrived">
    /// Ends when nothing of this feature is on its way to the store any more: what is said later must also come there later.
    /// </param>
    public OverrideCommand? Withdraw(string feature, out Task arrived)
    {
        arrived = string.Equals(_onItsWay, feature, StringComparison.OrdinalIgnoreCase) ? _arrived : Task.CompletedTask;
        _commands.Remove(feature, out OverrideCommand? command);
        return command;
    }

    /// <summary>Puts back what was withdrawn for something that then could not be said.</summary>
    public void Restore(OverrideCommand? command)
    {
        if (command is not null)
        {
            _commands.TryAdd(command.Feature, command);
        }
    }

    /// <summary>Those that have not ended.</summary>
    public OverrideCommand[] Current(DateTimeOffset now)
    {
        foreach (string ended in _commands.Where(pair => pair.Value.ExpiresAt <= now).Select(pair => pair.Key).ToArray())
        {
            _commands.Remove(ended);
        }

        return [.. _commands.Values];
    }

    /// <summary>Marks one as on its way to the store.</summary>
    /// <returns>Whether it is still to be shared and none else is on its way.</returns>
    public bool TrySend(OverrideCommand command, Task arrived)
    {
        if (_onItsWay is not null || _commands.GetValueOrDefault(command.Feature) != command)
        {
            return false;
        }

        (_onItsWay, _arrived) = (command.Feature, arrived);
        return true;
    }

    /// <summary>Ends what <see cref="TrySend"/> began.</summary>
    /// <param name="command">The command.</param>
    /// <param name="isKept">Whether the store has it now.</param>
    /// <returns>Whether it is still what holds on this node.</returns>
    public bool Sent(OverrideCommand command, bool isKept)
    {
        _onItsWay = null;
        return _commands.GetValueOrDefault(command.Feature) == command && (!isKept || _commands.Remove(command.Feature));
    }

    /// <summary>Whether a command is one of these, which the store had kept after all: only its answer was lost.</summary>
    public bool IsOwn(OverrideCommand command) => _commands.GetValueOrDefault(command.Feature)?.Nonce == command.Nonce;

    /// <summary>Whether a command of another node gives way to the one that holds here, which was issued later and will be shared.</summary>
    public bool Outlast(OverrideCommand command, DateTimeOffset now) =>
        _commands.GetValueOrDefault(command.Feature) is { } own && own.ExpiresAt > now && own.IssuedAt >= command.IssuedAt;

    /// <summary>Forgets the one of a feature: there is nothing to share any more.</summary>
    public void Remove(string feature) => _commands.Remove(feature);
}
