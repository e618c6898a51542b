/* transaction.c: which texts leave a transaction that wrote. */
#include "transaction.h"

#include <criterion/criterion.h>

static void leaves(bool wrote_before, const char *sql, bool wrote) {
    cr_expect_eq(transaction_after(wrote_before, sql), wrote, "%s, after %s", sql,
                 wrote_before ? "a write" : "none");
}

Test(transaction, what_writes) {
    static const char *const texts[] = {
        "INSERT INTO t VALUES (1)",
        "  /* a comment; */ update t set a = 1",
        "-- SELECT\nDELETE FROM t",
        "MERGE INTO t USING u ON t.i = u.i WHEN MATCHED THEN DELETE",
        "SELECT 1; TRUNCATE t",
        "BEGIN; SELECT 1; CREATE TABLE t (i int); SELECT 2",
        "CREATE UNIQUE INDEX i ON t (a)",
        "ALTER TABLE t ADD c int",
        "DROP TABLE t",
        "COPY t FROM STDIN",
        "COPY t (a, b) FROM STDIN WITH (FORMAT csv)",
        "COPY s.t FROM '/tmp/file'",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
        "WITH x AS MATERIALIZED (SELECT 1) DELETE FROM t USING x",
        "WITH x AS (SELECT 1) UPDATE t SET a = 1",
        "GRANT SELECT ON t TO app",
        "NOTIFY channel",
        "COMMENT ON TABLE t IS 'x'",
        "COMMIT; BEGIN; INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1); ROLLBACK TO SAVEPOINT s",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        leaves(false, texts[i], true);
}

Test(transaction, what_does_not) {
    static const char *const texts[] = {
        "",
        ";;;",
        "SELECT 1",
        "SELECT 'INSERT INTO t VALUES (1)'; SELECT $$DELETE FROM t$$",
        "SELECT \"insert\" FROM t",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR NO KEY UPDATE",
        "WITH x AS (SELECT * FROM t FOR UPDATE) SELECT * FROM x",
        "WITH x AS (SELECT t.delete, update FROM t) SELECT * FROM x",
        "COPY t TO STDOUT",
        "COPY (SELECT * FROM t) TO STDOUT",
        "COPY (SELECT a FROM t WHERE b IN (SELECT b FROM u)) TO '/tmp/file'",
        "CREATE TEMP TABLE t (i int)",
        "CREATE TEMPORARY TABLE t AS SELECT 1",
        "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET search_path TO x",
        "DECLARE c CURSOR FOR SELECT 1; FETCH ALL FROM c; CLOSE c",
        "LOCK TABLE t; LISTEN channel; SAVEPOINT s; RELEASE s",
        "EXPLAIN SELECT 1; SHOW all; VALUES (1); TABLE t",
        "INSERT INTO t VALUES (1); COMMIT",
        "INSERT INTO t VALUES (1); END; BEGIN; SELECT 1",
        "DELETE FROM t; ROLLBACK",
        "DELETE FROM t; ABORT; SELECT 1",
        "SELECT 'a text that does not end; INSERT INTO t VALUES (1)",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        leaves(false, texts[i], false);
}

Test(transaction, what_was_before) {
    leaves(true, "SELECT 1", true);
    leaves(true, "SAVEPOINT s; ROLLBACK TO s", true);
    leaves(true, "COMMIT", false);
    leaves(true, "ROLLBACK; BEGIN", false);
    leaves(true, "END; DELETE FROM t", true);
}
