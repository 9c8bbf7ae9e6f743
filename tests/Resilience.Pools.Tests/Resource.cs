namespace Resilience.Pools.Tests;

/// <summary>A resource that notices when two hold it at once, or when it is used after its end.</summary>
internal sealed class Resource(int id)
{
    private int _users;

    public int Id { get; } = id;

    public bool IsDestroyed { get; set; }

    public bool IsBroken { get; set; }

    public void Enter()
    {
        Assert.False(IsDestroyed, $"resource {Id} is used after its destruction");
        Assert.Equal(1, Interlocked.Increment(ref _users));
    }

    public void Leave() => Assert.Equal(0, Interlocked.Decrement(ref _users));
}

/// <summary>A factory that counts what lives, and does as a test says.</summary>
internal sealed class Factory : IResourceFactory<Resource>
{
    private int _ids;
    private int _alive;
    private int _creating;

    public Func<CancellationToken, ValueTask>? OnCreate { get; set; }

    public Func<Resource, CancellationToken, ValueTask<bool>>? OnValidate { get; set; }

    public Func<Resource, CancellationToken, ValueTask<bool>>? OnReset { get; set; }

    public Func<Resource, ValueTask>? OnDestroy { get; set; }

    public bool Resets => OnReset is not null;

    public int Alive => Volatile.Read(ref _alive);

    public int Created => Volatile.Read(ref _ids);

    public int Attempts;

    public int MostAlive;

    public int MostCreating;

    public int Destroyed;

    public int Validated;

    public async ValueTask<Resource> CreateAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref Attempts);
        // What is in creation counts too: the backend sees a connection before the factory returns it.
        Raise(ref MostAlive, Interlocked.Increment(ref _alive));
        Raise(ref MostCreating, Interlocked.Increment(ref _creating));
        try
        {
            if (OnCreate is not null)
            {
                await OnCreate(cancellationToken);
            }

            return new Resource(Interlocked.Increment(ref _ids));
        }
        catch
        {
            Interlocked.Decrement(ref _alive);
            throw;
        }
        finally
        {
            Interlocked.Decrement(ref _creating);
        }
    }

    public async ValueTask<bool> ValidateAsync(Resource resource, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref Validated);
        return OnValidate is null ? !resource.IsBroken : await OnValidate(resource, cancellationToken);
    }

    public ValueTask<bool> ResetAsync(Resource resource, CancellationToken cancellationToken) => OnReset?.Invoke(resource, cancellationToken) ?? new(true);

    public async ValueTask DestroyAsync(Resource resource, CancellationToken cancellationToken)
    {
        if (OnDestroy is not null)
        {
            await OnDestroy(resource);
        }

        resource.IsDestroyed = true;
        Interlocked.Increment(ref Destroyed);
        Interlocked.Decrement(ref _alive);
    }

    private static void Raise(ref int most, int value)
    {
        int seen = Volatile.Read(ref most);
        while (value > seen)
        {
            seen = Interlocked.CompareExchange(ref most, value, seen);
        }
    }
}
