/* statement.c: the judge's verdicts and the outlines, one row a case. A row that says NONE claims that a
 * session is left as it was; a wrong one mixes sessions. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "statement.h"

#define U TAINT_UNTOUCHED
#define R TAINT_RESETTABLE
#define X TAINT_UNKNOWN
#define D STATEMENT_DATABASE_DDL
#define ALL STATEMENT_DISCARD_ALL
#define W STATEMENT_WRITES

struct row {
    const char *sql;
    enum pin_reason reason;
    enum taint taint;
    unsigned traits;
};

static char *const safe[] = {"app.*", "refresh_cache", "util.get_?", "Quoted", "f*_ok", NULL};
static const struct reading plain = {true, true, NULL};

static void judge_rows(const struct row *rows, size_t count, const struct reading *reading) {
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        struct verdict verdict = statement_judge(row->sql, reading);
        cr_expect_str_eq(pin_row(verdict.reason)->word, pin_row(row->reason)->word,
                         "%s\n  is %s (%.*s), not %s", row->sql, pin_row(verdict.reason)->word,
                         (int)verdict.culprit_length, verdict.culprit, pin_row(row->reason)->word);
        cr_expect(verdict.taint == row->taint, "%s\n  taint %d, not %d", row->sql, verdict.taint, row->taint);
        cr_expect(verdict.traits == row->traits, "%s\n  traits %u, not %u", row->sql, verdict.traits,
                  row->traits);
        cr_expect(verdict.culprit >= row->sql &&
                      verdict.culprit + verdict.culprit_length <= row->sql + strlen(row->sql),
                  "%s\n  the culprit is not in the text", row->sql);
        cr_expect(verdict.reason != PIN_NONE || verdict.culprit_length == 0, "%s", row->sql);
    }
}
#define JUDGE(reading, ...)                                    \
    do {                                                       \
        static const struct row rows[] = {__VA_ARGS__};        \
        judge_rows(rows, sizeof rows / sizeof *rows, reading); \
    } while (0)

Test(statement, reads_and_transactions_are_harmless) {
    JUDGE(
        &plain, {"", PIN_NONE, U, 0}, {" ; ;; -- nothing", PIN_NONE, U, 0},
        {"/* a /* nested */ one */", PIN_NONE, U, 0}, {"BEGIN", PIN_NONE, U, 0},
        {"begin isolation level serializable, read only", PIN_NONE, U, 0},
        {"START TRANSACTION READ WRITE", PIN_NONE, U, 0}, {"COMMIT AND CHAIN", PIN_NONE, U, 0},
        {"END", PIN_NONE, U, 0}, {"ROLLBACK TO SAVEPOINT a", PIN_NONE, U, 0}, {"ABORT WORK", PIN_NONE, U, 0},
        {"SAVEPOINT a", PIN_NONE, U, 0}, {"RELEASE a", PIN_NONE, U, 0},
        {"PREPARE TRANSACTION 'x'", PIN_NONE, U, 0}, {"COMMIT PREPARED 'x'", PIN_NONE, U, 0},
        {"ROLLBACK PREPARED 'x'", PIN_NONE, U, 0}, {"SHOW search_path", PIN_NONE, U, 0},
        {"SELECT 1", PIN_NONE, U, 0}, {"SELECT", PIN_NONE, U, 0},
        {"(SELECT 1) UNION (SELECT 2)", PIN_NONE, U, 0}, {"VALUES (1, 'a'), (2, NULL)", PIN_NONE, U, 0},
        {"TABLE t", PIN_NONE, U, 0},
        {"SELECT * FROM t WHERE a IN (1, 2) AND (b = ANY ($1) OR NOT EXISTS (SELECT 1)) FOR UPDATE", PIN_NONE,
         U, 0},
        {"SELECT * FROM t FOR NO KEY UPDATE OF t SKIP LOCKED", PIN_NONE, U, 0},
        {"SELECT count(*), max(a), string_agg(DISTINCT b, ',' ORDER BY b) FROM t GROUP BY (c) HAVING "
         "(sum(d)) > 1",
         PIN_NONE, U, 0},
        {"SELECT coalesce(a, lower(b)), CAST(c AS varchar(10)), d::numeric(3, 1), e::character varying(5) "
         "FROM t",
         PIN_NONE, U, 0},
        {"SELECT sum(a) FILTER (WHERE b) OVER (PARTITION BY (c) ORDER BY (d)) FROM t WINDOW w AS (ORDER BY "
         "e)",
         PIN_NONE, U, 0},
        {"SELECT 1 FROM a JOIN (SELECT 2) b ON (true) LEFT JOIN (c JOIN d USING (id)) ON true", PIN_NONE, U,
         0},
        {"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t", PIN_NONE, U, 0},
        {"SELECT a FROM t GROUP BY GROUPING SETS ((a), (b)), c", PIN_NONE, U, 0},
        {"SELECT a FROM t GROUP BY ROLLUP (a, b)", PIN_NONE, U, 0},
        {"SELECT extract(year FROM now()), position('a' IN b), substring(c FROM 1 FOR 2), trim(BOTH FROM d)",
         PIN_NONE, U, 0},
        {"SELECT pg_catalog.lower('A'), PG_CATALOG.Upper('b'), \"pg_catalog\".\"lower\"('c')", PIN_NONE, U,
         0},
        {"SELECT LOWER('A'), \"lower\"('B'), left('x', 1), date('2020-01-01'), \"char\"(65)", PIN_NONE, U, 0},
        {"SELECT c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default FROM "
         "pg_catalog.pg_class c",
         PIN_NONE, U, 0},
        {"SELECT current_setting('a.b'), pg_sleep(1), now(), random(), gen_random_uuid(), txid_current()",
         PIN_NONE, U, 0},
        {"SELECT pg_notify('a', 'b'), pg_terminate_backend(1), pg_cancel_backend(2)", PIN_NONE, U, 0},
        {"SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(1, 2)", PIN_NONE, U, 0},
        {"SELECT pg_size_pretty(pg_database_size('x')), generate_series(1, 2)", PIN_NONE, U, 0},
        {"SELECT * FROM pg_stat_activity, pg_locks, pg_settings", PIN_NONE, U, 0},
        {"SELECT * FROM t TABLESAMPLE system (10)", PIN_NONE, U, 0},
        {"SELECT ARRAY(SELECT 1), ARRAY[lower('x')], row(1, 2), (a).b, (f.c).d, $1.x FROM t f", PIN_NONE, U,
         0},
        {"SELECT interval(3) '1 s', timestamp(3) with time zone '2020-01-01', x::timestamptz(2)", PIN_NONE, U,
         0},
        {"SELECT a ILIKE ('x'), a NOT ILIKE ('y'), a LIKE ('z'), a AT TIME ZONE ('UTC') FROM t", PIN_FUNCTION,
         X, 0},
        {"SELECT a ILIKE ('x'), a NOT ILIKE ('y'), a LIKE ('z') FROM t", PIN_NONE, U, 0},
        {"DECLARE c CURSOR FOR SELECT 1", PIN_NONE, U, 0},
        {"DECLARE c BINARY SCROLL CURSOR WITHOUT HOLD FOR TABLE t", PIN_NONE, U, 0},
        {"FETCH 10 FROM c", PIN_NONE, U, 0}, {"MOVE c", PIN_NONE, U, 0}, {"CLOSE ALL", PIN_NONE, U, 0},
        {"COPY t TO STDOUT", PIN_NONE, U, 0},
        {"COPY app.t (a, b) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (a))", PIN_NONE, U, 0},
        {"COPY BINARY t TO STDOUT", PIN_NONE, U, 0},
        {"COPY (SELECT lower(a) FROM t) TO PROGRAM 'x'", PIN_NONE, U, 0},
        {"EXPLAIN SELECT 1", PIN_NONE, U, 0}, {"EXPLAIN (ANALYZE, FORMAT json) SELECT 1", PIN_NONE, U, 0},
        {"EXPLAIN ANALYZE VERBOSE (SELECT 1)", PIN_NONE, U, 0}, {"EXPLAIN (SELECT 1)", PIN_NONE, U, 0},
        {"SET LOCAL work_mem = '1MB'", PIN_NONE, U, 0}, {"SET LOCAL app TO 'x.y'", PIN_NONE, U, 0},
        {"SET LOCAL search_path TO app, public", PIN_NONE, U, 0}, {"SET LOCAL ROLE bob", PIN_NONE, U, 0},
        {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", PIN_NONE, U, 0},
        {"SET TRANSACTION SNAPSHOT 'x'", PIN_NONE, U, 0}, {"SET CONSTRAINTS ALL DEFERRED", PIN_NONE, U, 0},
        {"SET CONSTRAINTS a.b IMMEDIATE", PIN_NONE, U, 0},
        {"SELECT set_config('work_mem', $1, true)", PIN_NONE, U, 0},
        {"SELECT pg_catalog.set_config('a', lower('B'), TRUE)", PIN_NONE, U, 0},
        {"SELECT set_config('search_path', 'app', true)", PIN_NONE, U, 0});
}

Test(statement, aliases_and_with_lists_are_no_calls) {
    JUDGE(&plain, {"WITH a AS (SELECT 1) SELECT * FROM a", PIN_NONE, U, 0},
          {"WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t), u(x) AS NOT MATERIALIZED "
           "(SELECT 1) SELECT 1",
           PIN_NONE, U, 0},
          {"SELECT * FROM (WITH x(a) AS MATERIALIZED (SELECT 1) SELECT a FROM x) y", PIN_NONE, U, 0},
          {"SELECT * FROM (VALUES (1)) v(a), unnest($1) AS u(b, c)", PIN_NONE, U, 0},
          {"SELECT * FROM unnest($1::int[]) WITH ORDINALITY t(a, b)", PIN_NONE, U, 0},
          {"SELECT * FROM a CROSS JOIN LATERAL generate_series(1, 2) g(x)", PIN_NONE, U, 0},
          {"SELECT * FROM json_to_record($1) AS r(a int, b varchar(3), c numeric(1, 2))", PIN_NONE, U, 0},
          {"WITH a AS (SELECT 1) (SELECT 1) ORDER BY 1, f(2)", PIN_FUNCTION, X, 0},
          {"WITH a AS (SELECT 1) SELECT (1), f(2)", PIN_FUNCTION, X, 0},
          {"WITH a AS (SELECT f(1)) SELECT 1", PIN_FUNCTION, X, 0},
          {"WITH a AS (SELECT (1), f(1)), b(x) AS (SELECT 1) SELECT 1", PIN_FUNCTION, X, 0},
          {"SELECT now()::timestamp with time zone, f(1)", PIN_FUNCTION, X, 0},
          {"SELECT 1 AS with, f(1)", PIN_FUNCTION, X, 0},
          {"SELECT DISTINCT ON (a) f(b) FROM t", PIN_FUNCTION, X, 0},
          {"SELECT a OPERATOR(pg_catalog.+) f(b) FROM t", PIN_FUNCTION, X, 0},
          {"SELECT * FROM f(1) AS t(a)", PIN_FUNCTION, X, 0}, {"SELECT * FROM f(1) t(a)", PIN_FUNCTION, X, 0},
          {"SELECT * FROM (SELECT f(1)) t(a)", PIN_FUNCTION, X, 0},
          {"SELECT * FROM a, LATERAL f(a.x)", PIN_FUNCTION, X, 0});
}

Test(statement, unknown_functions_pin) {
    JUDGE(&plain, {"SELECT f()", PIN_FUNCTION, X, 0}, {"SELECT f ()", PIN_FUNCTION, X, 0},
          {"SELECT f/* */\n--x\n()", PIN_FUNCTION, X, 0}, {"SELECT app.lower('x')", PIN_FUNCTION, X, 0},
          {"SELECT pg_catalog . f (1)", PIN_FUNCTION, X, 0},
          {"SELECT db.pg_catalog.lower('x')", PIN_FUNCTION, X, 0},
          {"SELECT \"Lower\"('x')", PIN_FUNCTION, X, 0},
          {"SELECT \"PG_CATALOG\".lower('x')", PIN_FUNCTION, X, 0},
          {"SELECT \"coalesce\"(1)", PIN_FUNCTION, X, 0}, {"SELECT app.coalesce(1)", PIN_FUNCTION, X, 0},
          {"SELECT app.as(1)", PIN_FUNCTION, X, 0}, {"SELECT a.b.c.d.e(1)", PIN_FUNCTION, X, 0},
          {"SELECT (a).f(1)", PIN_FUNCTION, X, 0}, {"SELECT set(1)", PIN_FUNCTION, X, 0},
          {"SELECT join(1)", PIN_FUNCTION, X, 0}, {"SELECT 1 WHERE NOT join(1)", PIN_FUNCTION, X, 0},
          {"SELECT a LIKE join(1)", PIN_FUNCTION, X, 0}, {"SELECT 1 ORDER BY join(1)", PIN_FUNCTION, X, 0},
          {"SELECT over(1)", PIN_FUNCTION, X, 0}, {"SELECT 1, filter(1)", PIN_FUNCTION, X, 0},
          {"SELECT key(1), by(2)", PIN_FUNCTION, X, 0}, {"SELECT NOT materialized(1)", PIN_FUNCTION, X, 0},
          {"SELECT cube(1)", PIN_FUNCTION, X, 0}, {"SELECT varying(1)", PIN_FUNCTION, X, 0},
          {"SELECT bernoulli(1)", PIN_FUNCTION, X, 0}, {"SELECT setseed(0.5)", PIN_FUNCTION, X, 0},
          {"SELECT t.setseed FROM random() t", PIN_FUNCTION, X, 0},
          {"SELECT dblink('x', 'y')", PIN_FUNCTION, X, 0}, {"SELECT lo_open(1, 2)", PIN_FUNCTION, X, 0},
          {"SELECT query_to_xml('x', true, true, '')", PIN_FUNCTION, X, 0},
          {"SELECT ts_stat('SELECT 1')", PIN_FUNCTION, X, 0},
          {"SELECT pg_backup_start('x')", PIN_FUNCTION, X, 0},
          {"SELECT pg_create_logical_replication_slot('a', 'b', true)", PIN_FUNCTION, X, 0},
          {"SELECT CASE WHEN a THEN f(1) END", PIN_FUNCTION, X, 0},
          {"SELECT 1 LIMIT f(1)", PIN_FUNCTION, X, 0},
          {"SELECT 1 FETCH FIRST f(1) ROWS ONLY", PIN_FUNCTION, X, 0}, {"SELECT a[f(1)]", PIN_FUNCTION, X, 0},
          {"DELETE FROM t WHERE f(a)", PIN_FUNCTION, X, W},
          {"UPDATE t SET a = f(b) RETURNING g(c)", PIN_FUNCTION, X, W},
          {"COPY (SELECT f(1)) TO STDOUT", PIN_FUNCTION, X, 0},
          {"DECLARE c CURSOR FOR SELECT f(1)", PIN_FUNCTION, X, 0},
          {"EXPLAIN SELECT f(1)", PIN_FUNCTION, X, 0}, {"SELECT f('/*'); SELECT 1 -- */", PIN_FUNCTION, X, 0},
          {"SELECT abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz()",
           PIN_FUNCTION, X, 0},
          {"SELECT caf\xc3\xa9(1)", PIN_FUNCTION, X, 0}, {"SELECT lower\xc3\xa9(1)", PIN_FUNCTION, X, 0},
          {"SELECT geometry(1) FROM t", PIN_FUNCTION, X, 0});
}

Test(statement, functions_named_safe_do_not_pin) {
    struct reading reading = plain;
    reading.safe_functions = safe;
    JUDGE(&reading, {"SELECT app.f(1), APP.G(2), \"app\".\"H\"(3)", PIN_NONE, U, 0},
          {"SELECT refresh_cache()", PIN_NONE, U, 0}, {"SELECT Refresh_Cache()", PIN_NONE, U, 0},
          {"SELECT fast_ok(1), f_ok(2), fa_ok_ok(3)", PIN_NONE, U, 0}, {"SELECT f(1)", PIN_FUNCTION, X, 0},
          {"SELECT app2.f(1)", PIN_FUNCTION, X, 0}, {"SELECT \"App\".f(1)", PIN_FUNCTION, X, 0},
          {"SELECT \"app.f\"(1)", PIN_FUNCTION, X, 0}, {"SELECT \"app.\"\".f\"(1)", PIN_FUNCTION, X, 0},
          {"SELECT x.app.f(1)", PIN_FUNCTION, X, 0}, {"SELECT app.f.g(1)", PIN_FUNCTION, X, 0},
          {"SELECT public.refresh_cache()", PIN_FUNCTION, X, 0}, {"SELECT util.get_a()", PIN_FUNCTION, X, 0},
          {"SELECT f.x_ok(1)", PIN_FUNCTION, X, 0}, {"SELECT fast_okay(1)", PIN_FUNCTION, X, 0},
          {"SELECT app.f(other.g(1))", PIN_FUNCTION, X, 0});
}

Test(statement, settings_pin) {
    JUDGE(&plain, {"SET search_path TO a", PIN_SETTING, R, 0},
          {"SET SESSION work_mem = 1", PIN_SETTING, R, 0}, {"RESET ALL", PIN_SETTING, R, 0},
          {"RESET ROLE", PIN_SETTING, R, 0}, {"SET ROLE bob", PIN_SETTING, R, 0},
          {"SET SESSION AUTHORIZATION bob", PIN_SETTING, R, 0}, {"SET NAMES 'UTF8'", PIN_SETTING, R, 0},
          {"SET TIME ZONE 'UTC'", PIN_SETTING, R, 0}, {"set time zone interval '1' hour", PIN_SETTING, R, 0},
          {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", PIN_SETTING, R, 0},
          {"SET TRANSACTION = 1", PIN_SETTING, R, 0}, {"SET LOCAL TO 1", PIN_SETTING, R, 0},
          {"SET transaction_isolation = 'x'", PIN_SETTING, R, 0}, {"SET x TO 1.5", PIN_SETTING, R, 0},
          {"SET app.tenant = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET SESSION app.tenant TO 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET local.foo = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET session.foo = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET transaction.foo = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET constraints.foo = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET local /* */ . foo = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET \"a.b\" = 'x'", PIN_CUSTOM_SETTING, X, 0}, {"RESET app.tenant", PIN_CUSTOM_SETTING, X, 0},
          {"SET seed = 0.5", PIN_CUSTOM_SETTING, X, 0}, {"SET LOCAL seed = 0.5", PIN_CUSTOM_SETTING, X, 0},
          {"SET LOCAL \"SEED\" TO 0.5", PIN_CUSTOM_SETTING, X, 0},
          {"SET LOCAL app.tenant TO 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET LOCAL \"app.tenant\" = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SET LOCAL app . tenant = 'x'", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('app.tenant', $1, true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('a', 'b', false)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('a', 'b', $1)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('a', 'b', true AND false)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('a', 'b', NOT true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config($1, 'b', true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('seed', '0.5', true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('search_path', $1, true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('search_path', 'pg_temp', true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('search_path', 'a' || 'b', true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config('search_'\n'path', 'pg_temp', true)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT set_config", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT \"set_config\"('a', 'b', false)", PIN_CUSTOM_SETTING, X, 0},
          {"SELECT pg_catalog.set_config('a', f(1, true), false)", PIN_CUSTOM_SETTING, X, 0},
          {"UPDATE pg_settings SET setting = 'x' WHERE name = 'y'", PIN_CUSTOM_SETTING, X, W},
          {"WITH x AS (UPDATE pg_catalog.\"pg_settings\" SET setting = 'x') SELECT 1", PIN_CUSTOM_SETTING, X,
           W},
          {"DISCARD ALL", PIN_SETTING, R, ALL}, {" discard /* x */ all ; -- y", PIN_SETTING, R, ALL},
          {"DISCARD ALL; SELECT 1", PIN_SETTING, R, 0}, {"DISCARD ALL; DISCARD ALL", PIN_SETTING, R, 0},
          {"DISCARD PLANS", PIN_SETTING, R, 0}, {"DISCARD SEQUENCES", PIN_SETTING, R, 0},
          {"DISCARD TEMP", PIN_TEMPORARY, R, 0});
}

Test(statement, session_objects_pin) {
    JUDGE(&plain, {"CREATE TEMP TABLE t (a int)", PIN_TEMPORARY, R, W},
          {"create temporary table t as select 1", PIN_TEMPORARY, R, W},
          {"CREATE LOCAL TEMP TABLE t (a int)", PIN_TEMPORARY, R, W},
          {"CREATE GLOBAL TEMPORARY TABLE t (a int)", PIN_TEMPORARY, R, W},
          {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", PIN_TEMPORARY, R, W},
          {"CREATE TEMP SEQUENCE s", PIN_TEMPORARY, R, W},
          {"CREATE TABLE pg_temp.t (a int)", PIN_TEMPORARY, R, W},
          {"CREATE TABLE \"pg_temp\".t (a int)", PIN_TEMPORARY, R, W},
          {"SELECT * FROM pg_temp_3.t", PIN_TEMPORARY, R, 0}, {"DROP TABLE PG_TEMP.t", PIN_TEMPORARY, R, W},
          {"CREATE VIEW v AS SELECT * FROM pg_temp.t", PIN_TEMPORARY, R, W},
          {"SELECT 1 INTO TEMP t", PIN_TEMPORARY, R, W},
          {"SELECT a INTO TEMPORARY TABLE t FROM b", PIN_TEMPORARY, R, W},
          {"SELECT 1 INTO LOCAL TEMP t", PIN_TEMPORARY, R, W},
          {"SET LOCAL search_path TO pg_temp, a", PIN_TEMPORARY, R, 0},
          {"SET LOCAL search_path = 'pg_temp'", PIN_TEMPORARY, R, 0},
          {"SET LOCAL search_path = 'PG_TEMP'", PIN_TEMPORARY, R, 0},
          {"SET LOCAL \"search_path\" = 'pg_'\n'temp'", PIN_TEMPORARY, R, 0},
          {"SET LOCAL SCHEMA 'pg_temp'", PIN_TEMPORARY, R, 0},
          {"SET LOCAL search_path = app, pg_catalog", PIN_TEMPORARY, R, 0},
          {"CREATE SCHEMA s CREATE TEMP TABLE t (a int)", PIN_STATEMENT, X, W},
          {"LISTEN a", PIN_LISTEN, R, W}, {"UNLISTEN *", PIN_LISTEN, R, W},
          {"PREPARE p AS SELECT 1", PIN_PREPARED, R, W},
          {"PREPARE p (int, text) AS SELECT lower($2)", PIN_PREPARED, R, W},
          {"PREPARE p AS SELECT f($1)", PIN_PREPARED, X, W},
          {"PREPARE transaction AS SELECT 1", PIN_PREPARED, R, W},
          {"PREPARE transaction (int) AS SELECT $1", PIN_PREPARED, R, W},
          {"EXECUTE p (1, 2)", PIN_PREPARED, R, W}, {"EXECUTE p (f(1))", PIN_PREPARED, X, W},
          {"DEALLOCATE ALL", PIN_PREPARED, R, W}, {"EXPLAIN ANALYZE EXECUTE p (1)", PIN_PREPARED, R, W},
          {"CREATE TABLE t AS EXECUTE p (1)", PIN_PREPARED, X, W},
          {"CREATE TABLE t AS EXECUTE p", PIN_PREPARED, R, W},
          {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", PIN_CURSOR, R, 0},
          {"declare c no scroll cursor with /**/ hold for select 1", PIN_CURSOR, R, 0},
          {"SELECT pg_advisory_lock(1)", PIN_ADVISORY_LOCK, R, 0},
          {"SELECT PG_TRY_ADVISORY_LOCK(1, 2)", PIN_ADVISORY_LOCK, R, 0},
          {"SELECT \"pg_advisory_lock\"(1)", PIN_ADVISORY_LOCK, R, 0},
          {"SELECT pg_catalog.pg_advisory_unlock_all()", PIN_ADVISORY_LOCK, R, 0},
          {"SELECT pg_advisory_lock_shared(1), f(2)", PIN_ADVISORY_LOCK, X, 0},
          {"SELECT t.pg_advisory_lock FROM generate_series(1::bigint, 2) t", PIN_ADVISORY_LOCK, R, 0},
          {"SELECT ('s'::regclass).nextval", PIN_SEQUENCE, R, 0},
          {"SELECT (1)/**/.\"pg_advisory_lock\"", PIN_ADVISORY_LOCK, R, 0});
}

Test(statement, sequences_identity_and_code_pin) {
    JUDGE(
        &plain, {"INSERT INTO t VALUES (1)", PIN_SEQUENCE, R, W},
        {"INSERT INTO t (a, b) SELECT lower(c), d FROM u", PIN_SEQUENCE, R, W},
        {"INSERT INTO app.t (a) VALUES (f(1))", PIN_SEQUENCE, X, W},
        {"INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET (b) = ROW(1)", PIN_SEQUENCE, R, W},
        {"WITH x AS (INSERT INTO t (a) VALUES (1) RETURNING a) SELECT * FROM x", PIN_SEQUENCE, R, W},
        {"WITH x(a) AS (SELECT 1) INSERT INTO t (a) SELECT a FROM x", PIN_SEQUENCE, R, W},
        {"MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", PIN_SEQUENCE, R, W},
        {"EXPLAIN ANALYZE INSERT INTO t VALUES (1)", PIN_SEQUENCE, R, W},
        {"EXPLAIN (ANALYZE) WITH x AS (INSERT INTO t VALUES (1)) SELECT 1", PIN_SEQUENCE, R, W},
        {"CREATE TABLE t AS WITH x AS (INSERT INTO u VALUES (1) RETURNING *) SELECT * FROM x", PIN_SEQUENCE,
         R, W},
        {"COPY t FROM STDIN", PIN_SEQUENCE, R, W},
        {"COPY t (a, b) FROM PROGRAM 'x' WITH (FORMAT csv)", PIN_SEQUENCE, R, W},
        {"COPY \"to\" (\"to\") FROM STDIN", PIN_SEQUENCE, R, W},
        {"COPY t FROM STDIN WHERE f(a)", PIN_SEQUENCE, X, W}, {"SELECT nextval('s')", PIN_SEQUENCE, R, 0},
        {"SELECT pg_catalog.setval('s', 1)", PIN_SEQUENCE, R, 0},
        {"SELECT currval('s'), lastval()", PIN_SEQUENCE, R, 0},
        {"UPDATE t SET a = DEFAULT", PIN_SEQUENCE, R, W},
        {"WITH x AS (UPDATE t SET (a, b) = (DEFAULT, 1) RETURNING a) SELECT 1", PIN_SEQUENCE, R, W},
        {"CREATE TABLE t (a int DEFAULT nextval('s'))", PIN_SEQUENCE, R, W},
        {"ALTER TABLE t ADD COLUMN a serial", PIN_SEQUENCE, R, W},
        {"ALTER TABLE t ADD a int DEFAULT 1", PIN_SEQUENCE, R, W},
        {"ALTER TABLE t ADD a my_domain", PIN_SEQUENCE, R, W},
        {"ALTER TABLE t ADD COLUMN IF NOT EXISTS a text.int", PIN_SEQUENCE, R, W},
        {"ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY", PIN_SEQUENCE, R, W},
        {"SELECT pg_backend_pid()", PIN_IDENTITY, U, 0}, {"SELECT pg_my_temp_schema()", PIN_IDENTITY, U, 0},
        {"SELECT inet_client_port()", PIN_IDENTITY, U, 0},
        {"SELECT * FROM pg_listening_channels()", PIN_IDENTITY, U, 0},
        {"SELECT * FROM pg_prepared_statements", PIN_IDENTITY, U, 0},
        {"TABLE pg_cursors", PIN_IDENTITY, U, 0},
        {"SELECT pg_stat_get_backend_pid(s) FROM pg_stat_get_backend_idset() s", PIN_IDENTITY, U, 0},
        {"SELECT pg_is_other_temp_schema(1)", PIN_IDENTITY, U, 0},
        {"DO $$ BEGIN END $$", PIN_CODE_BLOCK, X, W}, {"DO LANGUAGE plpgsql 'x'", PIN_CODE_BLOCK, X, W},
        {"CALL p(1)", PIN_CODE_BLOCK, X, W}, {"LOAD 'x'", PIN_STATEMENT, X, W},
        {"SECURITY LABEL ON TABLE t IS 'x'", PIN_STATEMENT, X, W},
        {"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", PIN_STATEMENT, X, W},
        {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", PIN_STATEMENT, X, W},
        {"CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS ''", PIN_STATEMENT, X, W},
        {"CREATE EXTENSION x", PIN_STATEMENT, X, W},
        {"CREATE TRIGGER a BEFORE INSERT ON t EXECUTE FUNCTION f()", PIN_STATEMENT, X, W},
        {"CREATE USER MAPPING FOR bob SERVER s", PIN_STATEMENT, X, W},
        {"CREATE FOREIGN TABLE t (a int) SERVER s", PIN_STATEMENT, X, W},
        {"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", PIN_STATEMENT, X, W},
        {"ALTER SYSTEM SET a = 1", PIN_STATEMENT, X, W},
        {"ALTER FUNCTION f() RENAME TO g", PIN_STATEMENT, X, W},
        {"ALTER ROLE bob SET a = 1", PIN_STATEMENT, X, W | D},
        {"ALTER USER bob IN DATABASE d RESET ALL", PIN_STATEMENT, X, W | D},
        {"ALTER DATABASE d SET a = 1", PIN_STATEMENT, X, W | D}, {"IDENTIFY_SYSTEM", PIN_STATEMENT, X, W},
        {"frobnicate", PIN_STATEMENT, X, W}, {"\"SELECT\" 1", PIN_STATEMENT, X, W},
        {"1", PIN_STATEMENT, X, W}, {"'x'", PIN_STATEMENT, X, W},
        {"ALTER TYPE t ADD ATTRIBUTE a d CASCADE", PIN_STATEMENT, X, W});
}

Test(statement, definitions_that_leave_the_session_alone) {
    JUDGE(&plain,
          {"CREATE TABLE IF NOT EXISTS app.t (id int PRIMARY KEY, a varchar(10) DEFAULT lower('x'), temp "
           "int, CHECK (a > 'b'))",
           PIN_NONE, U, W},
          {"CREATE TABLE t (a int REFERENCES o (id) ON UPDATE CASCADE, FOREIGN KEY (a, b) REFERENCES "
           "app.o(x, y), UNIQUE (a))",
           PIN_NONE, U, W},
          {"CREATE UNLOGGED TABLE t (a serial, EXCLUDE USING gist (r WITH &&)) INHERITS (p) WITH (fillfactor "
           "= 70)",
           PIN_NONE, U, W},
          {"CREATE TABLE t (a int) PARTITION BY RANGE (a)", PIN_NONE, U, W},
          {"CREATE TABLE t PARTITION OF p FOR VALUES FROM (1) TO (2)", PIN_NONE, U, W},
          {"CREATE TABLE t (a, b) AS SELECT 1, lower('x') WITH NO DATA", PIN_NONE, U, W},
          {"CREATE TABLE t AS SELECT f(1)", PIN_FUNCTION, X, W},
          {"CREATE TABLE t (a int CHECK (f(a)))", PIN_FUNCTION, X, W}, {"SELECT 1 INTO t", PIN_NONE, U, W},
          {"SELECT f(1) INTO t", PIN_FUNCTION, X, W},
          {"CREATE UNIQUE INDEX CONCURRENTLY i ON t USING btree (lower(a), b) INCLUDE (c) WHERE (d)",
           PIN_NONE, U, W},
          {"CREATE INDEX ON ONLY t (a)", PIN_NONE, U, W}, {"CREATE INDEX ON t (f(a))", PIN_FUNCTION, X, W},
          {"CREATE OR REPLACE VIEW v (a, b) AS SELECT 1, 2", PIN_NONE, U, W},
          {"CREATE MATERIALIZED VIEW v AS SELECT f(1)", PIN_FUNCTION, X, W},
          {"CREATE SCHEMA s AUTHORIZATION bob", PIN_NONE, U, W},
          {"CREATE SEQUENCE s START 5", PIN_NONE, U, W}, {"CREATE TYPE e AS ENUM ('a', 'b')", PIN_NONE, U, W},
          {"CREATE DOMAIN d AS int CHECK (VALUE > 0)", PIN_NONE, U, W},
          {"CREATE ROLE bob LOGIN PASSWORD 'x'", PIN_NONE, U, W}, {"CREATE USER bob", PIN_NONE, U, W},
          {"ALTER ROLE bob PASSWORD NULL", PIN_NONE, U, W},
          {"CREATE DATABASE d TEMPLATE x", PIN_NONE, U, W | D},
          {"DROP DATABASE IF EXISTS d", PIN_NONE, U, W | D},
          {"ALTER DATABASE d RENAME TO e", PIN_NONE, U, W | D},
          {"SELECT 1; create /**/ database d", PIN_NONE, U, W | D},
          {"DROP TABLE a, b CASCADE", PIN_NONE, U, W}, {"DROP FUNCTION f(int)", PIN_NONE, U, W},
          {"DROP MATERIALIZED VIEW v", PIN_NONE, U, W}, {"DROP SUBSCRIPTION s", PIN_STATEMENT, X, W},
          {"ALTER TABLE t ADD COLUMN a int, ADD CONSTRAINT c CHECK (a > 0)", PIN_NONE, U, W},
          {"ALTER TABLE ONLY t ADD FOREIGN KEY (a) REFERENCES o (id) NOT VALID", PIN_NONE, U, W},
          {"ALTER TABLE t SET (fillfactor = 70), REPLICA IDENTITY FULL", PIN_NONE, U, W},
          {"ALTER TABLE t ALTER a TYPE varchar(5) USING lower(a)", PIN_NONE, U, W},
          {"ALTER TABLE t ALTER a TYPE int USING hash(a)", PIN_FUNCTION, X, W},
          {"ALTER TABLE t ATTACH PARTITION p FOR VALUES IN (1, 2)", PIN_NONE, U, W},
          {"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob", PIN_NONE, U, W},
          {"ALTER INDEX i RENAME TO j", PIN_NONE, U, W},
          {"GRANT INSERT (a), EXECUTE ON ALL FUNCTIONS IN SCHEMA s TO bob", PIN_NONE, U, W},
          {"REVOKE ALL ON FUNCTION f(int) FROM bob", PIN_NONE, U, W},
          {"COMMENT ON FUNCTION f(int) IS 'x'", PIN_NONE, U, W},
          {"TRUNCATE t RESTART IDENTITY", PIN_NONE, U, W}, {"VACUUM (FULL, ANALYZE) t (a)", PIN_NONE, U, W},
          {"ANALYZE t (a, b)", PIN_NONE, U, W}, {"REINDEX TABLE t", PIN_NONE, U, W},
          {"CLUSTER t", PIN_NONE, U, W}, {"CHECKPOINT", PIN_NONE, U, W}, {"LOCK TABLE t", PIN_NONE, U, W},
          {"NOTIFY a, 'b'", PIN_NONE, U, W}, {"REFRESH MATERIALIZED VIEW v", PIN_NONE, U, W},
          {"DELETE FROM t", PIN_NONE, U, W}, {"UPDATE t SET (a, b) = (SELECT 1, 2) WHERE c", PIN_NONE, U, W},
          {"EXPLAIN ANALYZE DELETE FROM t", PIN_NONE, U, W},
          {"WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x", PIN_NONE, U, W});
}

Test(statement, quotes_and_comments_end_where_the_server_ends_them) {
    JUDGE(&plain, {"SELECT 'f()', \"g()\", $$ h() $$, $a$ $$ $b$ i() $a$", PIN_NONE, U, 0},
          {"SELECT 'it''s; SET x = 1'", PIN_NONE, U, 0}, {"SELECT '\\'; SET x = 1; --'", PIN_SETTING, R, 0},
          {"SELECT 1 -- f()\n, lower('x')", PIN_NONE, U, 0}, {"SELECT 1 -- x\r, f()", PIN_FUNCTION, X, 0},
          {"SELECT 1 +-- f()\n 2", PIN_NONE, U, 0}, {"SELECT 1 */* f() */ 2", PIN_NONE, U, 0},
          {"SELECT /* /* */ f() */ 1", PIN_NONE, U, 0}, {"SELECT /*/* */*/ f()", PIN_FUNCTION, X, 0},
          {"SELECT /***/ f() /***/", PIN_FUNCTION, X, 0}, {"SELECT '/*', f(), '*/'", PIN_FUNCTION, X, 0},
          {"SELECT a$b$c, f(), $b$ $b$", PIN_FUNCTION, X, 0}, {"SELECT $1$$ f() $$", PIN_NONE, U, 0},
          {"SELECT $\xc3\xa9$ f() $\xc3\xa9$", PIN_NONE, U, 0},
          {"SELECT $a$ $A$ $a$, f(), $a$ $a$", PIN_FUNCTION, X, 0},
          {"SELECT $$ $a$$, f(), $$x$$", PIN_FUNCTION, X, 0},
          {"SELECT E'x', e'it''s', B'01', X'ff', N'x'", PIN_NONE, U, 0}, {"SELECT 'a'\n'b'", PIN_NONE, U, 0},
          {"SELECT E'a' -- c\n'b\\'", PIN_UNREADABLE, X, W}, {"SELECT E'\\n'", PIN_UNREADABLE, X, W},
          {"SELECT e'a\\'; SET x = 1 --'", PIN_UNREADABLE, X, W}, {"SELECT fooE'\\'", PIN_NONE, U, 0},
          {"SELECT 1E'\\', f(), '", PIN_UNREADABLE, X, W}, {"SELECT 1e1E'\\', f(), '", PIN_UNREADABLE, X, W},
          {"SELECT 1_000", PIN_UNREADABLE, X, W}, {"SELECT 0x1F", PIN_UNREADABLE, X, W},
          {"SELECT 1and 2", PIN_UNREADABLE, X, W}, {"SELECT $1and", PIN_UNREADABLE, X, W},
          {"SELECT 1., .5, 1.5e-3, 2E+4, 1e5", PIN_NONE, U, 0}, {"SELECT U&'x'", PIN_UNREADABLE, X, W},
          {"SELECT u&\"x\"", PIN_UNREADABLE, X, W}, {"SELECT u & 'x', a&'b'", PIN_NONE, U, 0},
          {"SELECT 'x", PIN_UNREADABLE, X, W}, {"SELECT \"x", PIN_UNREADABLE, X, W},
          {"SELECT $a$ x $b$", PIN_UNREADABLE, X, W}, {"SELECT $a", PIN_UNREADABLE, X, W},
          {"SELECT /* x", PIN_UNREADABLE, X, W}, {"SELECT /* /* */", PIN_UNREADABLE, X, W},
          {"SELECT \v1", PIN_UNREADABLE, X, W}, {"SELECT \\x", PIN_UNREADABLE, X, W},
          {"SELECT {fn now()}", PIN_UNREADABLE, X, W},
          {"SELECT 1; SELECT f(); SELECT 'x", PIN_FUNCTION, X, W}, {"SELECT \"a\"\"(\"", PIN_NONE, U, 0},
          {"SELECT 1; SET x = 1; SELECT f()", PIN_SETTING, X, 0},
          {"SELECT pg_backend_pid(); LISTEN a", PIN_IDENTITY, R, W},
          {"BEGIN; SELECT 1; COMMIT", PIN_NONE, U, 0}, {"SELECT '\xff\xfe'", PIN_NONE, U, 0});
}

Test(statement, settings_and_encodings_decide_what_is_readable) {
    struct reading old = plain, sjis = plain;
    old.standard_conforming_strings = false;
    sjis.backslash_safe_encoding = false;
    JUDGE(&old, {"SELECT 'x'", PIN_NONE, U, 0}, {"SELECT 'it''s'", PIN_NONE, U, 0},
          {"SELECT '\\n'", PIN_UNREADABLE, X, W}, {"SELECT '\\', f(), '", PIN_UNREADABLE, X, W},
          {"SELECT $$ \\ $$", PIN_NONE, U, 0}, {"SELECT \"a\\b\"", PIN_NONE, U, 0},
          {"SELECT 'a'\n'\\'", PIN_UNREADABLE, X, W});
    JUDGE(&sjis, {"SELECT 'x'", PIN_NONE, U, 0}, {"SELECT '\x83\x5c'", PIN_UNREADABLE, X, W},
          {"SELECT 1 -- \x83", PIN_UNREADABLE, X, W}, {"SET x = '\xe9'", PIN_UNREADABLE, X, W});
}

/* Texts that were judged before are remembered; length, place and reading alike must not confuse them. */
Test(statement, a_verdict_belongs_to_its_text_and_reading) {
    struct reading old = plain, with_safe = plain;
    old.standard_conforming_strings = false;
    with_safe.safe_functions = safe;
    for (int round = 0; round < 3; round++) {
        JUDGE(&plain, {"SELECT 'a\\b'", PIN_NONE, U, 0}, {"SELECT app.f(1)", PIN_FUNCTION, X, 0},
              {"SELECT app.f(1)", PIN_FUNCTION, X, 0}, {"SELECT now(1)", PIN_NONE, U, 0},
              {"SELECT noo(1)", PIN_FUNCTION, X, 0}, {"SELECT now(1)", PIN_NONE, U, 0});
        JUDGE(&old, {"SELECT 'a\\b'", PIN_UNREADABLE, X, W});
        JUDGE(&with_safe, {"SELECT app.f(1)", PIN_NONE, U, 0}, {"SELECT app.f(1)", PIN_NONE, U, 0});
    }
}

Test(statement, deep_nesting_pins_rather_than_guesses) {
    char sql[4096] = "SELECT ";
    for (int i = 0; i < 70; i++)
        strcat(sql, "(");
    strcat(sql, "WITH x(a) AS (SELECT 1) SELECT 1");
    for (int i = 0; i < 70; i++)
        strcat(sql, ")");
    cr_expect(statement_judge(sql, &plain).reason == PIN_FUNCTION);
    cr_expect(statement_judge(strstr(sql, "WITH") - 40, &plain).reason == PIN_NONE);
    cr_expect(statement_judge(NULL, &plain).reason == PIN_NONE);

    enum { REPEATS = 500000, WORD = 8 };
    char *many = malloc(REPEATS * WORD + 1);
    cr_assert(many);
    for (int i = 0; i < REPEATS; i++)
        memcpy(many + i * WORD, "explain ", WORD);
    many[REPEATS * WORD] = 0;
    cr_expect(statement_judge(many, &plain).reason == PIN_STATEMENT);
    memset(many, '(', REPEATS * WORD);
    cr_expect(statement_judge(many, &plain).reason == PIN_NONE);
    free(many);
}

Test(statement, culprits_are_words_and_never_literals) {
    static const struct {
        const char *sql, *culprit;
    } rows[] = {
        {"SELECT pg_advisory_lock(1)", "pg_advisory_lock"},
        {"SET search_path TO 'secret'", "SET search_path"},
        {"SET /* secret */ search_path TO a", "search_path"},
        {"SELECT app.f('secret')", "app.f"},
        {"SELECT app/* secret */.f(1)", "f"},
        {"SELECT 'secret\n", "SELECT"},
        {"'secret", ""},
        {"'secret'", ""},
        {"$$secret$$", ""},
        {"('secret", ""},
        {"INSERT INTO t VALUES ('secret')", "INSERT"},
        {"CREATE FUNCTION f() AS 'secret'", "CREATE"},
        {"SELECT 1; LISTEN a", "LISTEN"},
        {"SET 'secret'", "SET"},
        {"RESET a.b", "RESET a"},
        {"CREATE TEMP TABLE t ()", "CREATE TEMP"},
        {"SELECT E'secret\\n', 1", "SELECT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict verdict = statement_judge(rows[i].sql, &plain);
        cr_expect(verdict.culprit_length == strlen(rows[i].culprit) &&
                      memcmp(verdict.culprit, rows[i].culprit, verdict.culprit_length) == 0,
                  "%s: %.*s", rows[i].sql, (int)verdict.culprit_length, verdict.culprit);
    }
}

Test(statement, outlines_hold_no_literal) {
    static const struct {
        const char *sql, *outline;
    } rows[] = {
        {"SELECT  *\n\tFROM t  WHERE a='secret' AND b = 42", "SELECT * FROM t WHERE a=? AND b = ?"},
        {" -- secret\nSELECT/* secret */1 ", "SELECT ?"},
        {"SELECT $1, $12::int", "SELECT ?, ?::int"},
        {"SELECT 1.5e-3, 0xFF, 1_000, .5", "SELECT ?-?, ?, ?, .?"},
        {"SELECT E'it\\'s secret', a", "SELECT ?, a"},
        {"SELECT B'01', x'ff', N'secret', U&'secret', date'2020-01-01'", "SELECT ?, ?, ?, ?, date?"},
        {"SELECT $$secret$$, $a$ $$ secret $a$, b$c$d", "SELECT ?, ?, b$c$d"},
        {"SELECT 'a'\n'secret', b", "SELECT ?, b"},
        {"SELECT 'secret", "SELECT ?"},
        {"SELECT \"secret", "SELECT ?"},
        {"SELECT $a$ secret", "SELECT ?"},
        {"SELECT $secret", "SELECT ?"},
        {"SELECT 1 /* secret", "SELECT ??"},
        {"SELECT 'a\\' secret", "SELECT ?"},
        {"SELECT 'a\\', secret, ' x'", "SELECT ?"},
        {"SELECT '\\\\', b", "SELECT ?, b"},
        {"SELECT \"Quoted \"\"name\"\"\", b", "SELECT \"Quoted \"\"name\"\"\", b"},
        {"SELECT 1E'a\\'secret'", "SELECT ??"},
        {"SELECT 1e1E'a\\'secret'", "SELECT ??"},
        {"ALTER ROLE x PASSWORD 'secret' VALID UNTIL 'y'", "ALTER ROLE x PASSWORD ?"},
        {"ALTER ROLE x ENCRYPTED password secret word", "ALTER ROLE x ENCRYPTED password ?"},
        {"ALTER ROLE x PASSWORD/**/\"secret\"", "ALTER ROLE x PASSWORD ?"},
        {"ALTER ROLE x PASSWORD E'se", "ALTER ROLE x PASSWORD ?"},
        {"CREATE SUBSCRIPTION s CONNECTION 'host=a password=secret' PUBLICATION p",
         "CREATE SUBSCRIPTION s CONNECTION ? PUBLICATION p"},
        {"COPY t FROM PROGRAM 'curl secret' (FORMAT csv)", "COPY t FROM PROGRAM ? (FORMAT csv)"},
        {"", ""},
        {"  ", ""},
        {";", ";"},
        {"SELECT a.b[1], -5", "SELECT a.b[?], -?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[200];
        statement_outline(rows[i].sql, out, sizeof out);
        cr_expect_str_eq(out, rows[i].outline, "%s\n  %s\n  %s", rows[i].sql, out, rows[i].outline);
        cr_expect(!strstr(out, "secret"), "%s: %s", rows[i].sql, out);
    }
}

Test(statement, outlines_are_cut_to_size) {
    char out[16];
    statement_outline("SELECT abcdefgh FROM t", out, 12);
    cr_expect_str_eq(out, "SELECT a...");
    statement_outline("SELECT a", out, 9);
    cr_expect_str_eq(out, "SELECT a");
    statement_outline("SELECT \xc3\xa9\xc3\xa9\xc3\xa9", out, 13);
    cr_expect_str_eq(out, "SELECT \xc3\xa9...");
    statement_outline("SELECT", out, 3);
    cr_expect_str_eq(out, "..");
    statement_outline("SELECT", out, 1);
    cr_expect_str_eq(out, "");
    strcpy(out, "kept");
    statement_outline("SELECT", out, 0);
    cr_expect_str_eq(out, "kept");
    statement_outline(NULL, out, sizeof out);
    cr_expect_str_eq(out, "");
}

Test(statement, allow_list) {
    static const char *const yes[] = {
        "lower", "now", "pg_sleep", "generate_series", "pg_advisory_xact_lock", "left", "current_setting"};
    static const char *const no[] = {
        "nextval", "set_config",     "Lower",   "low",         "lowerx",           "",
        "select",  "pg_backend_pid", "setseed", "ts_stat",     "pg_advisory_lock", "table_to_xml",
        "lo_open", "domain_recv",    "f",       "query_to_xml"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        cr_expect(statement_function_is_harmless(yes[i], strlen(yes[i])), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        cr_expect(!statement_function_is_harmless(no[i], strlen(no[i])), "%s", no[i]);
}
