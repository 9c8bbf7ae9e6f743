namespace Storefront.Mail;

/// <summary>Stands for an SMTP connection: dear to open, fine for many mails, no good for two at once.</summary>
internal sealed class MailSession
{
    private static readonly TimeSpan Greeting = TimeSpan.FromMilliseconds(30);
    private static readonly TimeSpan Delivery = TimeSpan.FromMilliseconds(5);

    private int _busy;

    private MailSession()
    {
    }

    public static async ValueTask<MailSession> OpenAsync(CancellationToken cancellationToken)
    {
        await Task.Delay(Greeting, cancellationToken);
        return new MailSession();
    }

    public async Task SendAsync(OrderMail mail, CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _busy, 1) != 0)
        {
            throw new InvalidOperationException($"Two mails at once on one session; the second was for order {mail.Order}.");
        }

        await Task.Delay(Delivery, cancellationToken);
        Volatile.Write(ref _busy, 0);
    }
}

/// <summary>What the customer is told of an order.</summary>
internal sealed record OrderMail(long Order, string To);
