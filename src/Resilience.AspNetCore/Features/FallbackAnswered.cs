namespace Resilience.AspNetCore.Features;

/// <summary>Among the features of a request: its answer is a fallback's, which says nothing about what the service can do.</summary>
internal sealed class FallbackAnswered
{
    public static readonly FallbackAnswered Instance = new();

    private FallbackAnswered()
    {
    }
}
