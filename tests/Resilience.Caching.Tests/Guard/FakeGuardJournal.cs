using Resilience.Caching.Guard;

namespace Resilience.Caching.Tests.Guard;

/// <summary>A journal in memory on the test's clock, with what the interface promises and faults at will. One <see cref="Node"/> is one node's.</summary>
internal sealed class FakeGuardJournal(TimeProvider time)
{
    private readonly Lock _lock = new(); // guards all below
    private readonly List<(ulong Hash, long At)> _entries = [];
    private readonly Dictionary<string, (long Position, long Until, long Since)> _nodes = [];
    private ulong _epoch;
    private ulong _epochs;
    private long _first;
    private long _createdAt;

    /// <summary>What every access fails with.</summary>
    public Exception? Failure { get; set; }

    /// <summary>How often a journal was begun.</summary>
    public ulong Begun => _epochs;

    /// <summary>What was declared lost.</summary>
    public List<ulong> Abandoned { get; } = [];

    public IGuardJournal Node(string name) => new NodeJournal(this, name);

    /// <summary>The server comes back empty.</summary>
    public void Lose()
    {
        lock (_lock)
        {
            _epoch = 0;
        }
    }

    /// <summary>Forgets all hashes, as trimming does with old ones.</summary>
    public void Trim()
    {
        lock (_lock)
        {
            _first += _entries.Count;
            _entries.Clear();
        }
    }

    private long Now => (long)time.GetElapsedTime(0).TotalMilliseconds;

    private sealed class NodeJournal(FakeGuardJournal owner, string name) : IGuardJournal
    {
        public ValueTask<GuardJournalHead> OpenAsync(CancellationToken cancellationToken) => owner.Run(() =>
        {
            if (owner._epoch == 0)
            {
                owner._epoch = ++owner._epochs;
                owner._entries.Clear();
                owner._nodes.Clear();
                (owner._first, owner._createdAt) = (0, owner.Now);
            }

            return new GuardJournalHead(owner._epoch, owner._first, owner._first + owner._entries.Count, TimeSpan.FromMilliseconds(owner.Now - owner._createdAt));
        });

        public ValueTask<long> AppendAsync(ulong epoch, IReadOnlyList<ulong> hashes, TimeSpan retention, CancellationToken cancellationToken) => owner.Run(() =>
        {
            if (epoch != owner._epoch)
            {
                return -1;
            }

            owner._entries.AddRange(hashes.Select(hash => (hash, owner.Now)));
            return owner._first + owner._entries.Count;
        });

        public ValueTask<GuardJournalBatch> ReadAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken) => owner.Run(() =>
        {
            if (epoch != owner._epoch)
            {
                return GuardJournalBatch.Lost;
            }

            if (position < owner._first)
            {
                return GuardJournalBatch.Behind;
            }

            if (lease > TimeSpan.Zero)
            {
                bool unbroken = owner._nodes.TryGetValue(name, out var before) && before.Until >= owner.Now;
                owner._nodes[name] = (position, owner.Now + (long)lease.TotalMilliseconds, unbroken ? before.Since : owner.Now);
            }

            ulong[] rest = [.. owner._entries.Skip((int)(position - owner._first)).Select(entry => entry.Hash)];
            return new GuardJournalBatch(false, false, rest, position + rest.Length, IsEnd: true);
        });

        public ValueTask<bool> IsConfirmedAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken) => owner.Run(() =>
            epoch == owner._epoch
            && owner._nodes.TryGetValue(name, out var own) && owner.Now - own.Since >= lease.TotalMilliseconds
            && owner._nodes.All(node => node.Key == name || node.Value.Position >= position || node.Value.Until < owner.Now));

        public ValueTask AbandonAsync(ulong epoch, CancellationToken cancellationToken)
        {
            lock (owner._lock)
            {
                owner.Abandoned.Add(epoch);
                owner._epoch = owner._epoch == epoch ? 0 : owner._epoch;
            }

            return ValueTask.CompletedTask;
        }

        public async ValueTask WaitAsync(TimeSpan atMost, CancellationToken cancellationToken) => await Task.Delay(atMost, owner.Clock, cancellationToken);
    }

    private TimeProvider Clock => time;

    private ValueTask<T> Run<T>(Func<T> access)
    {
        lock (_lock)
        {
            return Failure is { } failure ? ValueTask.FromException<T>(failure) : ValueTask.FromResult(access());
        }
    }
}
