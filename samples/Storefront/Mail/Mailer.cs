using Resilience.Context;
using Resilience.Pools;

namespace Storefront.Mail;

/// <summary>Sends mail after the answer has gone: the queue takes along what the request was, not the request itself.</summary>
internal sealed class Mailer(BackgroundWorkQueue queue, [FromKeyedServices(Mailer.Pool)] ResourcePool<MailSession> sessions)
{
    public const string Pool = "smtp";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private long _sent;

    /// <summary>How many mails went out.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    // snippet: background-mail
    public ValueTask QueueAsync(OrderMail mail, CancellationToken cancellationToken) =>
        RequestScope.Current is { } scope
            ? queue.EnqueueAsync(scope.Detach(Patience), mail, static (services, order, ct) => services.GetRequiredService<Mailer>().SendAsync(order, ct), cancellationToken)
            : throw new InvalidOperationException("Mail is queued by requests.");

    private async ValueTask SendAsync(OrderMail mail, CancellationToken cancellationToken)
    {
        await sessions.RunAsync(static (session, order, ct) => session.SendAsync(order, ct), mail, cancellationToken);
        Interlocked.Increment(ref _sent);
    }
    // end-snippet
}
