using System.Text.Json.Serialization;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>What goes over the wire, without reflection.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UseStringEnumConverter = true,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(DashboardSnapshot))]
[JsonSerializable(typeof(FeaturesMessage))]
[JsonSerializable(typeof(HelloMessage))]
[JsonSerializable(typeof(AuditEntry[]))]
[JsonSerializable(typeof(TokenMessage))]
[JsonSerializable(typeof(OverrideRequest))]
[JsonSerializable(typeof(RestoreRequest))]
[JsonSerializable(typeof(RefusalMessage))]
[JsonSerializable(typeof(CacheEventFigures[]))]
[JsonSerializable(typeof(LookRequest))]
[JsonSerializable(typeof(LookMessage))]
internal sealed partial class DashboardJson : JsonSerializerContext;

/// <summary>Begins a stream.</summary>
/// <param name="Application">The application's name.</param>
/// <param name="Instance">The machine and process that answer.</param>
/// <param name="IntervalSeconds">How often figures come.</param>
/// <param name="HistorySeconds">How far the plots go back.</param>
/// <param name="History">The pressure so far.</param>
internal sealed record HelloMessage(string Application, string Instance, double IntervalSeconds, double HistorySeconds, IReadOnlyList<PressurePoint> History);

/// <summary>Features: all of them at first, then those that changed.</summary>
internal sealed record FeaturesMessage(long Revision, IReadOnlyList<FeatureFigures> Features);

/// <summary>A token for changes, and the longest time for which one may override.</summary>
internal sealed record TokenMessage(string Token, string User, int MaxMinutes);

/// <summary>Overrides a feature.</summary>
internal sealed record OverrideRequest(FeatureState? State, int? Minutes, string? Reason);

/// <summary>Lifts an override.</summary>
internal sealed record RestoreRequest(string? Reason);

/// <summary>Why a change was refused.</summary>
/// <param name="Problem">In words.</param>
/// <param name="Field">Which field of the request is wrong: <c>state</c>, <c>minutes</c>, <c>reason</c> or <c>token</c>; none when it is something else.</param>
internal sealed record RefusalMessage(string Problem, string? Field = null);

/// <summary>Something that happened in a cache. Key and tag are there only for those who may see them, the failure is a type's name.</summary>
internal sealed record CacheEventFigures(string Kind, DateTimeOffset At, string? Failure, string? Key, string? Tag);

/// <summary>Asks for what is known of a cache and, if one is given, of a key in it.</summary>
internal sealed record LookRequest(string? Cache, string? Key);

/// <summary>What is known of a cache and of a key in it, without its value.</summary>
internal sealed record LookMessage
{
    /// <summary>Whether keys that nobody has given may be shown.</summary>
    public required bool ShowsKeys { get; init; }

    /// <summary>The key's entry in the local tier; <see langword="null"/> when there is none.</summary>
    public required CacheEntryFigures? Entry { get; init; }

    /// <summary>What happened to the key lately, newest first.</summary>
    public required IReadOnlyList<CacheEventFigures> Events { get; init; }

    /// <summary>The keys that are hit most.</summary>
    public required IReadOnlyList<HotKeyFigures> HotKeys { get; init; }

    /// <summary>Entries whose keys begin with the one that was given.</summary>
    public required IReadOnlyList<CacheEntryFigures> Alike { get; init; }
}

/// <summary>An entry of a local tier.</summary>
internal sealed record CacheEntryFigures(string Key, long Weight, double AgeSeconds, double FreshForSeconds, bool IsAbsent, IReadOnlyList<string> Tags);

/// <summary>A key that is hit often, and its share of the hits.</summary>
internal sealed record HotKeyFigures(string Key, double Share);
