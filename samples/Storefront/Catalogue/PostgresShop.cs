using System.Data.Common;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Resilience.Settings;
using Storefront.Orders;

namespace Storefront.Catalogue;

/// <summary>The shop in PostgreSQL. Every command runs on a connection of the bounded pool that is the data source.</summary>
internal sealed class PostgresShop(DbDataSource database, LiveSettings<CatalogueSettings> settings) : IShop
{
    private const int SetUpLock = 7_402_113;

    private const string Tables = """
        create table if not exists products (id int primary key, name text not null, price_cents int not null, version int not null);
        create table if not exists orders (number bigint generated always as identity primary key, product_id int not null references products, quantity int not null, email text not null);
        create table if not exists audit (id bigint generated always as identity primary key, request_id text not null, what text not null, subject bigint not null);
        """;

    public async Task SetUpAsync(CancellationToken cancellationToken)
    {
        await using DbConnection connection = await database.OpenConnectionAsync(cancellationToken);
        await using DbTransaction transaction = await connection.BeginTransactionAsync(cancellationToken);

        // Two instances that start at once would both create; the lock ends with the transaction.
        await ExecuteAsync(connection, transaction, $"select pg_advisory_xact_lock({SetUpLock})", cancellationToken);
        await ExecuteAsync(connection, transaction, Tables, cancellationToken);
        await ExecuteAsync(connection, transaction, $"""
            insert into products (id, name, price_cents, version)
            select id, 'Product ' || id, {ProductMaker.PriceSql}, 1 from generate_series(0, {settings.Current.Products - 1}) id
            where id > (select coalesce(max(id), -1) from products)
            """, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }

    public async Task<Product?> FindAsync(int id, CancellationToken cancellationToken)
    {
        await using DbConnection connection = await database.OpenConnectionAsync(cancellationToken);
        await using DbCommand command = Command(connection, "select name, price_cents, version from products where id = @id", ("id", id));
        await using DbDataReader reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken) ? new Product(id, reader.GetString(0), reader.GetInt32(1), reader.GetInt32(2)) : null;
    }

    public async IAsyncEnumerable<int> IdsAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using DbConnection connection = await database.OpenConnectionAsync(cancellationToken);
        await using DbCommand command = Command(connection, "select id from products");
        await using DbDataReader reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            yield return reader.GetInt32(0);
        }
    }

    public async Task<long?> PlaceOrderAsync(OrderRequest order, CancellationToken cancellationToken)
    {
        await using DbConnection connection = await database.OpenConnectionAsync(cancellationToken);
        await using DbCommand command = Command(connection,
            "insert into orders (product_id, quantity, email) select id, @quantity, @email from products where id = @id returning number",
            ("id", order.ProductId), ("quantity", order.Quantity), ("email", order.Email));
        return (long?)await command.ExecuteScalarAsync(cancellationToken);
    }

    public async Task<Product?> SetPriceAsync(int id, int priceCents, CancellationToken cancellationToken)
    {
        await using DbConnection connection = await database.OpenConnectionAsync(cancellationToken);
        await using DbCommand command = Command(connection,
            "update products set price_cents = @price, version = version + 1 where id = @id returning name, price_cents, version", ("id", id), ("price", priceCents));
        await using DbDataReader reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken) ? new Product(id, reader.GetString(0), reader.GetInt32(1), reader.GetInt32(2)) : null;
    }

    public Task<IReadOnlyList<string>> CommentsAsync(int id, CancellationToken cancellationToken) =>
        Task.FromResult(ProductMaker.Comments(id));

    public Task<IReadOnlyList<int>> RecommendationsAsync(int id, CancellationToken cancellationToken) =>
        Task.FromResult(ProductMaker.Recommendations(id, settings.Current.Products));

    public async Task WriteAuditAsync(IReadOnlyList<AuditEntry> entries, CancellationToken cancellationToken)
    {
        await using DbConnection connection = await database.OpenConnectionAsync(cancellationToken);
        await using DbCommand command = Command(connection,
            "insert into audit (request_id, what, subject) select e->>'id', e->>'what', (e->>'subject')::bigint from jsonb_array_elements(@entries::jsonb) e",
            ("entries", Json(entries)));
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static string Json(IReadOnlyList<AuditEntry> entries) =>
        JsonSerializer.Serialize(entries.Select(entry => new AuditRow(entry.RequestId, entry.What, entry.Subject)).ToList(), StorefrontJson.Default.ListAuditRow);

    private static DbCommand Command(DbConnection connection, string sql, params ReadOnlySpan<(string Name, object Value)> parameters)
    {
        DbCommand command = connection.CreateCommand();
        command.CommandText = sql;
        foreach ((string name, object value) in parameters)
        {
            DbParameter parameter = command.CreateParameter();
            parameter.ParameterName = name;
            parameter.Value = value;
            command.Parameters.Add(parameter);
        }

        return command;
    }

    private static async Task ExecuteAsync(DbConnection connection, DbTransaction transaction, string sql, CancellationToken cancellationToken)
    {
        await using DbCommand command = Command(connection, sql);
        command.Transaction = transaction;
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}

/// <summary>A line of the audit log as the insert reads it.</summary>
internal sealed record AuditRow(string Id, string What, long Subject);
