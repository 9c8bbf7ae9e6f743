using Resilience.Pools;

namespace Storefront.Mail;

internal static class MailRegistration
{
    public static void AddMail(this IServiceCollection services)
    {
        services.AddBackgroundWorkQueue();
        services.AddResourcePool(Mailer.Pool, static (_, ct) => MailSession.OpenAsync(ct));
        services.AddSingleton<Mailer>();
    }
}
