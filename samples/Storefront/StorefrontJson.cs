using System.Text.Json.Serialization;
using Storefront.Catalogue;
using Storefront.Orders;
using Storefront.Products;
using Storefront.Stock;

namespace Storefront;

[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(Product))]
[JsonSerializable(typeof(ProductPage))]
[JsonSerializable(typeof(PriceChange))]
[JsonSerializable(typeof(OrderRequest))]
[JsonSerializable(typeof(OrderReceipt))]
[JsonSerializable(typeof(StockLevel))]
[JsonSerializable(typeof(IReadOnlyList<string>))]
[JsonSerializable(typeof(List<AuditRow>))]
internal sealed partial class StorefrontJson : JsonSerializerContext;
