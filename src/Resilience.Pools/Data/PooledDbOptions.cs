namespace Resilience.Pools;

/// <summary>What a pooled data source needs to know about its database, in code. The pool's own settings are <see cref="PoolOptions"/>.</summary>
public sealed class PooledDbOptions
{
    /// <summary>
    /// What is run to see whether an idle connection still works. Default <c>SELECT 1</c>; <see langword="null"/> or empty asks the
    /// provider for the connection's state only.
    /// </summary>
    public string? ValidateSql { get; set; } = "SELECT 1";

    /// <summary>
    /// A <see cref="ResetSql"/> for PostgreSQL: what <c>DISCARD ALL</c> does, except that prepared statements stay. Npgsql remembers which
    /// ones it has prepared on a connection, and would go on to use them after they were gone.
    /// </summary>
    public const string PostgresReset = "CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP; SET SESSION AUTHORIZATION DEFAULT; RESET ALL";

    /// <summary>
    /// What is run in the background on a connection that was returned, so that the session's state does not reach the next user:
    /// <see cref="PostgresReset"/> for PostgreSQL, <c>exec sp_reset_connection</c> is not callable by clients. Default <see langword="null"/>:
    /// nothing, because it costs a round trip a lease; then code that changes session state (SET, temporary tables, session locks) must
    /// undo it or call <see cref="PooledDbConnection.Invalidate"/>. A transaction or reader that was left open has the connection
    /// destroyed in any case.
    /// </summary>
    public string? ResetSql { get; set; }
}
