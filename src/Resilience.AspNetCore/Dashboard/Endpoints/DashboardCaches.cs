using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Settings;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>
/// Looks into one cache: what happened in it lately, for all who may look; and one key that somebody gives, for those who may also change
/// something. Keys may be personal data, so the page itself lists none unless <see cref="DashboardSettings.ShowKeys"/> says so. Values are
/// never shown.
/// </summary>
internal sealed class DashboardCaches(IServiceProvider services, IEnumerable<SettingsRegistration> registrations, LiveSettings<DashboardSettings> settings)
{
    private const int MaxEvents = 100;
    private const int MaxKeyEvents = 20;
    private const int MaxHotKeys = 10;
    private const int MaxAlike = 20;

    private readonly HashSet<string> _names = [.. registrations.Where(registration => registration.Type == typeof(CacheOptions)).Select(registration => registration.Name)];

    /// <summary>The last events of a cache, newest first, without the keys and tags that they were about.</summary>
    public Task EventsAsync(HttpContext context)
    {
        DashboardHeaders.Write(context);
        if (DashboardProtectionOf.Refuses(context))
        {
            return Task.CompletedTask;
        }

        return Find(context.Request.Query["cache"]) is { } cache
            ? DashboardBody.WriteAsync(context, [.. cache.Events.Recent(MaxEvents).Select(static one => Figures(one, showKeys: false))], DashboardJson.Default.CacheEventFiguresArray)
            : NotFoundAsync(context);
    }

    /// <summary>One key of a cache. It stands in the body: what is in an address is written into logs.</summary>
    public async Task LookAsync(HttpContext context)
    {
        DashboardHeaders.Write(context);
        if (DashboardProtectionOf.Refuses(context))
        {
            return;
        }

        if (!DashboardHeaders.IsSameOrigin(context.Request))
        {
            await DashboardBody.RefuseAsync(context, StatusCodes.Status403Forbidden, new("The request comes from another site.")).ConfigureAwait(false);
        }
        else if (!context.Request.HasJsonContentType())
        {
            await DashboardBody.RefuseAsync(context, StatusCodes.Status415UnsupportedMediaType, new("The body must be application/json.")).ConfigureAwait(false);
        }
        else if (await DashboardBody.ReadAsync(context, DashboardJson.Default.LookRequest).ConfigureAwait(false) is not { } request)
        {
            await DashboardBody.RefuseAsync(context, StatusCodes.Status400BadRequest, new("The body is no valid request of at most 4 KiB.")).ConfigureAwait(false);
        }
        else if (Find(request.Cache) is not { } cache)
        {
            await NotFoundAsync(context).ConfigureAwait(false);
        }
        else
        {
            await DashboardBody.WriteAsync(context, Look(cache, request.Key, settings.Current.ShowKeys), DashboardJson.Default.LookMessage).ConfigureAwait(false);
        }
    }

    private static LookMessage Look(ResilientCache cache, string? key, bool showKeys)
    {
        ICacheInspector inspector = cache.Inspector;
        bool isAsked = !string.IsNullOrEmpty(key);
        return new LookMessage
        {
            ShowsKeys = showKeys,
            Entry = isAsked && inspector.Find(key!) is { } entry ? Figures(entry) : null,
            Events = isAsked ? [.. cache.Events.Recent().Where(one => one.Key == key).Take(MaxKeyEvents).Select(static one => Figures(one, showKeys: true))] : [],
            HotKeys = showKeys ? [.. inspector.HotKeys(MaxHotKeys).Select(static hot => new HotKeyFigures(hot.Key, hot.Share))] : [],
            Alike = showKeys && isAsked ? [.. inspector.Entries(prefix: key, most: MaxAlike).Entries.Where(other => other.Key != key).Select(Figures)] : [],
        };
    }

    private static CacheEntryFigures Figures(CacheEntryInfo entry) =>
        new(entry.Key, entry.Weight, entry.Age.TotalSeconds, entry.FreshFor.TotalSeconds, entry.IsAbsent, entry.Tags);

    private static CacheEventFigures Figures(CacheEvent one, bool showKeys) =>
        new(one.Kind.ToString(), one.At, one.Failure?.GetType().Name, showKeys ? one.Key : null, showKeys ? one.Tag : null);

    private static Task NotFoundAsync(HttpContext context) =>
        DashboardBody.RefuseAsync(context, StatusCodes.Status404NotFound, new("No cache has this name."));

    private ResilientCache? Find(string? name) => name is not null && _names.Contains(name) ? services.GetKeyedService<ResilientCache>(name) : null;
}
