using System.Data.Common;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching.Guard;

namespace Resilience.Snippets;

internal static class GuardSnippets
{
    public static void Register(IServiceCollection services, Func<IServiceProvider, IGuardSource> everyKey)
    {
        // snippet: register
        services.AddResilientCache("products").AddBloomGuard(everyKey);
        // end-snippet
    }

    // snippet: add
    public static async Task InsertAsync(DbDataSource database, BloomGuard guard, int id, CancellationToken cancellationToken)
    {
        await using DbConnection connection = await database.OpenConnectionAsync(cancellationToken);
        await using DbTransaction transaction = await connection.BeginTransactionAsync(cancellationToken);
        await ExecuteInsertAsync(connection, transaction, id, cancellationToken);

        await guard.AddAsync($"product:{id}", cancellationToken); // first the guard of every node ...
        await transaction.CommitAsync(cancellationToken);         // ... then the row; what throws before rolls back
    }
    // end-snippet

    private static async Task ExecuteInsertAsync(DbConnection connection, DbTransaction transaction, int id, CancellationToken cancellationToken)
    {
        await using DbCommand insert = connection.CreateCommand();
        insert.Transaction = transaction;
        insert.CommandText = "insert into products (id) values (@id)";
        DbParameter parameter = insert.CreateParameter();
        parameter.ParameterName = "id";
        parameter.Value = id;
        insert.Parameters.Add(parameter);
        await insert.ExecuteNonQueryAsync(cancellationToken);
    }
}
