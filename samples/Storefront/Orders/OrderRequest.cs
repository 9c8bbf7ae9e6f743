using System.ComponentModel.DataAnnotations;

namespace Storefront.Orders;

/// <summary>What a customer sends.</summary>
internal sealed record OrderRequest(int ProductId, [property: Range(1, 100)] int Quantity, [property: EmailAddress] string Email);

/// <summary>What the customer gets back.</summary>
internal sealed record OrderReceipt(long Number, int ProductId, int Quantity);

/// <summary>A line of the audit log.</summary>
internal sealed record AuditEntry(string RequestId, string What, long Subject);
