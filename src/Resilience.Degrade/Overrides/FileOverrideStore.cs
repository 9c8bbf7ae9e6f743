using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Resilience.Degrade;

/// <summary>
/// Keeps the overrides of one node in a file, signed, one per line, so that they outlive a restart. The file is replaced whole: written beside,
/// flushed, renamed.
/// </summary>
public sealed class FileOverrideStore : IOverrideStore, IDisposable
{
    private readonly SemaphoreSlim _writing = new(1, 1); // guards the file, _commands and _revision
    private readonly Dictionary<string, OverrideCommand> _commands = new(StringComparer.OrdinalIgnoreCase);
    private readonly string _path;
    private readonly OverrideCodec _codec;
    private readonly ILogger _logger;
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
    public async ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(command);
        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await LoadUnderLock(cancellationToken).ConfigureAwait(false);
            OverrideCommand kept = command with { Revision = _revision + 1 };
            string beside = _path + ".new";
            IEnumerable<OverrideCommand> all = _commands.Values.Where(other => !string.Equals(other.Feature, kept.Feature, StringComparison.OrdinalIgnoreCase)).Append(kept);
            await File.WriteAllLinesAsync(beside, all.Select(_codec.Write), cancellationToken).ConfigureAwait(false);
            File.Move(beside, _path, overwrite: true);
            _commands[kept.Feature] = kept;
            _revision = kept.Revision;
            return kept;
        }
        finally
        {
            _writing.Release();
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
