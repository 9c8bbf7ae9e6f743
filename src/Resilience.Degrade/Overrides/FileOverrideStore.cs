using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Resilience.Degrade;

/// <summary>
/// Keeps the overrides of one node in a file, signed, one per line, so that they outlive a restart. The file is replaced whole: written beside,
/// flushed, renamed.
/// </summary>
public sealed class FileOverrideStore : IOverrideStore, IDisposable
{
    private readonly SemaphoreSlim _writing = new(1, 1); // guards the file, _commands and _revision
    private readonly string _path;
    private readonly OverrideCodec _codec;
    private readonly ILogger _logger;
    private Dictionary<string, OverrideCommand> _commands = new(StringComparer.OrdinalIgnoreCase);
    private long _revision;
    private bool _loaded;

    /// <summary>Makes a store over a file, which need not be there yet.</summary>
    /// <param name="path">The file; its directory must be there.</param>
    /// <param name="codec">Signs and checks.</param>
    /// <param name="logger">Where lines that are not accepted are told.</param>
    public FileOverrideStore(string path, OverrideCodec codec, ILogger<FileOverrideStore> logger)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(codec);
        ArgumentNullException.ThrowIfNull(logger);
        _path = path;
        _codec = codec;
        _logger = logger;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken)
    {
        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await LoadUnderLock(cancellationToken).ConfigureAwait(false);
            return [.. _commands.Values];
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <inheritdoc/>
    public ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(command);
        return WriteAsync([command], givesRevision: true, cancellationToken);
    }

    /// <summary>Keeps commands that have their revision from elsewhere.</summary>
    internal async ValueTask KeepAsync(IReadOnlyList<OverrideCommand> commands, CancellationToken cancellationToken)
    {
        if (commands.Count > 0)
        {
            await WriteAsync(commands, givesRevision: false, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Nothing: the file is this node's own.</summary>
    /// <param name="cancellationToken">Ends the stream.</param>
    public async IAsyncEnumerable<OverrideCommand> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.Delay(Timeout.Infinite, cancellationToken).ConfigureAwait(false);
        yield break;
    }

    /// <inheritdoc/>
    public void Dispose() => _writing.Dispose();

    private async ValueTask<OverrideCommand> WriteAsync(IReadOnlyList<OverrideCommand> commands, bool givesRevision, CancellationToken cancellationToken)
    {
        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await LoadUnderLock(cancellationToken).ConfigureAwait(false);
            var next = new Dictionary<string, OverrideCommand>(_commands, StringComparer.OrdinalIgnoreCase);
            OverrideCommand kept = commands[0];
            bool changed = false;
            foreach (OverrideCommand command in commands)
            {
                kept = givesRevision ? command with { Revision = Math.Max(_revision, command.Revision) + 1 } : command;
                if (!next.TryGetValue(kept.Feature, out OverrideCommand? known) || known.Revision < kept.Revision)
                {
                    next[kept.Feature] = kept;
                    changed = true;
                }
            }

            if (changed)
            {
                await ReplaceAsync(next.Values, cancellationToken).ConfigureAwait(false);
                _commands = next;
                _revision = next.Values.Max(command => command.Revision);
            }

            return kept;
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Writes beside, flushes to the disk, renames: after a crash there is the old file or the new one, never half of one.</summary>
    private async Task ReplaceAsync(IEnumerable<OverrideCommand> commands, CancellationToken cancellationToken)
    {
        string beside = _path + ".new";
        var file = new FileStream(beside, FileMode.Create, FileAccess.Write, FileShare.None);
        await using (file.ConfigureAwait(false))
        {
            foreach (OverrideCommand command in commands)
            {
                await file.WriteAsync(Encoding.UTF8.GetBytes(_codec.Write(command) + "\n"), cancellationToken).ConfigureAwait(false);
            }

            file.Flush(flushToDisk: true);
        }

        File.Move(beside, _path, overwrite: true);
    }

    private async Task LoadUnderLock(CancellationToken cancellationToken)
    {
        if (_loaded || !File.Exists(_path))
        {
            return;
        }

        foreach (string line in await File.ReadAllLinesAsync(_path, cancellationToken).ConfigureAwait(false))
        {
            if (_codec.TryRead(line, out string? problem) is { } command)
            {
                _commands[command.Feature] = command;
                _revision = Math.Max(_revision, command.Revision);
            }
            else
            {
                DegradeLog.OverrideRejected(_logger, "in the file", problem!);
            }
        }

        _loaded = true;
    }
}
