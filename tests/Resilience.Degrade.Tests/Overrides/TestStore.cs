using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Resilience.Context;

namespace Resilience.Degrade.Tests.Overrides;

/// <summary>A store in memory that a test loses and finds again.</summary>
internal sealed class TestStore : IOverrideStore
{
    public static readonly Feature Export = Feature.Declare("o-export", Priority.Low);

    private long _revision;

    public volatile bool IsLost;

    /// <summary>All that it took, in order.</summary>
    public List<OverrideCommand> Appended { get; } = [];

    public OverrideCommand? Last
    {
        get
        {
            lock (Appended)
            {
                return Appended.LastOrDefault();
            }
        }
    }

    public Channel<OverrideCommand> Commands { get; } = Channel.CreateUnbounded<OverrideCommand>();

    public List<OverrideCommand> Kept { get; } = [];

    public Action<OverrideCommand>? BeforeAppendEnds { get; set; }

    public ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken) => IsLost ? throw new IOException("lost") : new([.. Kept]);

    public ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
    {
        if (IsLost)
        {
            throw new IOException("lost");
        }

        _revision = Math.Max(_revision, command.Revision) + 1;
        OverrideCommand kept = command with { Revision = _revision };
        lock (Appended)
        {
            Appended.Add(kept);
        }

        BeforeAppendEnds?.Invoke(kept);
        return new(kept);
    }

    public async IAsyncEnumerable<OverrideCommand> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (OverrideCommand command in Commands.Reader.ReadAllAsync(cancellationToken))
        {
            yield return command;
        }
    }

    public Task<DegradeHost> StartAsync(bool atUtcNow = false) =>
        DegradeHost.StartAsync(null, builder => builder.Services.Replace(ServiceDescriptor.Singleton<IOverrideStore>(this)), startAt: atUtcNow ? DateTimeOffset.UtcNow : null);

    public static OverrideCommand Command(DateTimeOffset issued) => new()
    {
        Feature = Export.Name,
        State = FeatureState.Off,
        Reason = "why",
        Who = "who",
        IssuedAt = issued,
        Ttl = TimeSpan.FromMinutes(10),
        Nonce = Guid.NewGuid().ToString("N"),
    };
}
