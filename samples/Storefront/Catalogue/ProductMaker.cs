namespace Storefront.Catalogue;

/// <summary>What products look like; the same in this process and in PostgreSQL.</summary>
internal static class ProductMaker
{
    /// <summary>The price as SQL over <c>id</c>; says the same as <see cref="Make"/>.</summary>
    public const string PriceSql = "100 + (id::bigint * 7919 % 100000)::int";

    public static Product Make(int id) => new(id, $"Product {id}", 100 + (int)(id * 7919L % 100_000), Version: 1);

    public static IReadOnlyList<string> Comments(int id) => [$"I bought {id} twice.", "Arrived in time."];

    public static IReadOnlyList<int> Recommendations(int id, int products) =>
        [.. Enumerable.Range(1, 5).Select(n => (int)(((long)id + (n * 7919L)) % products))];
}
