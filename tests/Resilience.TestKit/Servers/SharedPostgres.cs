namespace Resilience.TestKit;

/// <summary>
/// One PostgreSQL for all tests of an assembly; each test takes a database of its own from <see cref="PostgresServer.CreateDatabaseAsync"/>.
/// Private ones: <see cref="PostgresServer.StartNewAsync"/>.
/// </summary>
public sealed class SharedPostgres() : SharedServer<PostgresServer>(() => PostgresServer.StartNewAsync());
