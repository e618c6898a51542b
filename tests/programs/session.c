/* session.c: what one handle does to its session another handle never sees, and its owner keeps. */
#include "case/case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `setup` on one handle, then `question` again and again on it and on others. */
static void owned(const char *setup, const char *question, const char *owner, const char *others) {
    PGconn *before = open_handle(), *first = open_handle();
    expect_text(ask(before, question), others);
    ask(first, setup);
    PGconn *after = open_handle();
    for (int i = 0; i < 3; i++) {
        expect_text(ask(after, question), others);
        expect_text(ask(first, question), owner);
        expect_text(ask(before, question), others);
    }
    PQfinish(after);
    expect_text(ask(first, question), owner);
    PQfinish(first);
    expect_text(ask(before, question), others);
    PGconn *later = open_handle();
    expect_text(ask(later, question), others);
    PQfinish(later);
    PQfinish(before);
}

CASE(search_path, "", "SET search_path stays with its handle") {
    owned("SET search_path = pg_temp, pg_catalog",
          "SELECT current_setting('search_path') = 'pg_temp, pg_catalog'", "t", "f");
}
CASE(role, "", "SET ROLE stays with its handle") {
    owned("SET ROLE accountant", "SELECT current_user", "accountant", "app");
}
CASE(plain_setting, "", "SET of a plain setting stays with its handle") {
    owned("SET work_mem = '5MB'", "SELECT current_setting('work_mem') = '5MB'", "t", "f");
}
CASE(set_after_comment, "", "a SET behind comments and other statements is seen by the scanner") {
    owned("/* a /* nested */ comment */ SELECT 1; -- and\n SET work_mem = '6MB'; SELECT 2",
          "SELECT current_setting('work_mem') = '6MB'", "t", "f");
}
CASE(set_config_call, "", "set_config() stays with its handle") {
    owned("SELECT set_config('work_mem', '7MB', false)", "SELECT current_setting('work_mem') = '7MB'", "t",
          "f");
}
CASE(set_config_quoted, "", "a function called by a quoted, qualified name is read as well") {
    owned("SELECT \"pg_catalog\" . \"set_config\" ('work_mem', '8MB', false)",
          "SELECT current_setting('work_mem') = '8MB'", "t", "f");
}
CASE(set_by_update, "", "UPDATE pg_settings is a SET") {
    owned("UPDATE pg_settings SET setting = '9216' WHERE name = 'work_mem'",
          "SELECT current_setting('work_mem') = '9MB'", "t", "f");
}
CASE(characteristics, "", "SET SESSION CHARACTERISTICS stays with its handle") {
    owned("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
          "SHOW default_transaction_isolation", "serializable", "read committed");
}
CASE(custom_setting, "",
     "a custom setting is never seen by another handle, before or after the owner's PQfinish") {
    owned("SET my.var = 'mine'", "SELECT coalesce(current_setting('my.var', true), 'unset')", "mine",
          "unset");
}
CASE(custom_setting_hidden, "", "a custom setting made inside a plpgsql function stays with its handle") {
    control("CREATE OR REPLACE FUNCTION become(tenant text) RETURNS void LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM set_config('app.tenant', tenant, false); END $$");
    owned("SELECT become('acme')", "SELECT coalesce(current_setting('app.tenant', true), 'unset')", "acme",
          "unset");
}
CASE(custom_setting_block, "", "a custom setting made in a DO block stays with its handle") {
    owned("DO $$ BEGIN PERFORM set_config('app.block', 'x', false); END $$",
          "SELECT coalesce(current_setting('app.block', true), 'unset')", "x", "unset");
}
CASE(temporary_table, "", "a temporary table stays with its handle") {
    owned("CREATE TEMP TABLE basket AS SELECT 42 AS n",
          "SELECT coalesce(to_regclass('basket')::text, 'none')", "basket", "none");
}
CASE(temporary_select, "", "SELECT INTO TEMP stays with its handle") {
    owned("SELECT 1 AS n INTO TEMPORARY basket", "SELECT coalesce(to_regclass('basket')::text, 'none')",
          "basket", "none");
}
CASE(sql_prepare, "", "an SQL PREPARE stays with its handle") {
    owned("PREPARE q AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements", "1", "0");
}
CASE(held_cursor, "", "a cursor WITH HOLD stays with its handle") {
    owned("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 9); COMMIT",
          "SELECT count(*) FROM pg_cursors WHERE name = 'c'", "1", "0");
}

CASE(two_texts_sql, "", "one name prepared by SQL with two texts: each handle executes its own") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "PREPARE q AS SELECT 'first'");
    ask(second, "PREPARE q AS SELECT 'second'");
    for (int i = 0; i < 3; i++) {
        expect_text(ask(first, "EXECUTE q"), "first");
        expect_text(ask(second, "EXECUTE q"), "second");
    }
    PQfinish(first);
    expect_text(ask(second, "EXECUTE q"), "second");
    PQfinish(second);
}

static void prepare(PGconn *handle, const char *name, const char *sql) {
    PGresult *result = PQprepare(handle, name, sql, 0, NULL);
    expect_text(PQerrorMessage(handle), "");
    expect_number(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
}

static void executes(PGconn *handle, const char *name, const char *wanted) {
    PGresult *result = PQexecPrepared(handle, name, 0, NULL, NULL, NULL, 0);
    expect_text(PQresultErrorMessage(result), "");
    expect_number(PQresultStatus(result), PGRES_TUPLES_OK);
    expect_text(PQgetvalue(result, 0, 0), wanted);
    PQclear(result);
}

static void two_texts(const char *name) {
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    prepare(first, name, "SELECT 'first'");
    prepare(second, name, "SELECT 'second'");
    for (int i = 0; i < 3; i++) {
        executes(second, name, "second");
        executes(first, name, "first");
    }
    PGresult *result = PQexecPrepared(third, name, 0, NULL, NULL, NULL, 0);
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "26000");
    PQclear(result);
    PQfinish(first);
    executes(second, name, "second");
    PQfinish(second);
    PQfinish(third);
}

CASE(two_texts_protocol, "", "one name prepared by PQprepare with two texts: each handle executes its own") {
    two_texts("q");
}
CASE(two_texts_unnamed, "", "the unnamed statement is each handle's own as well") {
    two_texts("");
}

CASE(cursor_fetch, "", "held cursors of one name move independently") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 9); COMMIT");
    ask(second, "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(101, 109); COMMIT");
    for (int i = 1; i <= 3; i++) {
        char one[16], two[16];
        snprintf(one, sizeof one, "%d", i);
        snprintf(two, sizeof two, "%d", 100 + i);
        expect_text(ask(first, "FETCH c"), one);
        expect_text(ask(second, "FETCH c"), two);
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(advisory_locks, "",
     "a session advisory lock excludes the others until it is unlocked or its handle finished") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SELECT pg_advisory_lock(42)");
    expect_text(ask(second, "SELECT pg_try_advisory_lock(42)"), "f");
    expect_text(ask(first, "SELECT pg_try_advisory_lock(42)"), "t");
    PQfinish(first);
    double deadline = seconds_now() + 5;
    const char *got = "f";
    while (*got == 'f' && seconds_now() < deadline)
        got = ask(second, "SELECT pg_try_advisory_lock(42)");
    expect_text(got, "t");
    PQfinish(second);
    expect_backends(0, 0);
    expect_text(control("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
}

CASE(sequences, "", "currval and lastval tell the handle's own number") {
    control("DROP SEQUENCE IF EXISTS number; CREATE SEQUENCE number; GRANT ALL ON SEQUENCE number TO PUBLIC");
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    expect_text(ask(first, "SELECT nextval('number')"), "1");
    expect_text(ask(second, "SELECT nextval('number')"), "2");
    expect_text(ask(first, "SELECT currval('number')"), "1");
    expect_text(ask(first, "SELECT lastval()"), "1");
    expect_text(ask(second, "SELECT currval('number')"), "2");
    expect_text(refused(third, "SELECT currval('number')"), "55000");
    expect_text(refused(third, "SELECT lastval()"), "55000");
    PQfinish(first);
    PQfinish(second);
    PGconn *fresh = open_handle();
    expect_text(refused(fresh, "SELECT lastval()"), "55000");
    PQfinish(fresh);
    PQfinish(third);
}

CASE(serial_insert, "", "lastval after an INSERT tells the handle's own row") {
    control("DROP TABLE IF EXISTS invoice; CREATE TABLE invoice (id serial, what text);"
            "GRANT ALL ON invoice TO PUBLIC; GRANT ALL ON SEQUENCE invoice_id_seq TO PUBLIC");
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "INSERT INTO invoice(what) VALUES ('first')");
    ask(second, "INSERT INTO invoice(what) VALUES ('second')");
    expect_text(ask(first, "SELECT lastval()"), "1");
    expect_text(ask(second, "SELECT lastval()"), "2");
    PQfinish(first);
    PQfinish(second);
}

CASE(random_seed, "", "setseed belongs to its handle: nobody else's random() moves it on") {
    PGconn *first = open_handle(), *second = open_handle();
    const char *wanted = ask(first, "SELECT setseed(0.5); SELECT random()::text || random()::text");
    ask(second, "SELECT random()");
    ask(first, "SELECT setseed(0.5)");
    ask(second, "SELECT random()");
    char one[128], two[128];
    snprintf(one, sizeof one, "%s", ask(first, "SELECT random()::text"));
    ask(second, "SELECT random()");
    snprintf(two, sizeof two, "%s%s", one, ask(first, "SELECT random()::text"));
    expect_text(two, wanted);
    PQfinish(first);
    PQfinish(second);
}

static int notifications(PGconn *handle, char *last, size_t size) {
    int count = 0;
    expect_number(PQconsumeInput(handle), 1);
    for (PGnotify *one; (one = PQnotifies(handle)); PQfreemem(one), count++)
        snprintf(last, size, "%s:%s", one->relname, one->extra);
    return count;
}

CASE(listen, "", "LISTEN and NOTIFY: the listener hears it, the others do not") {
    char heard[64] = "";
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    ask(first, "LISTEN news");
    ask(second, "NOTIFY news, 'one'");
    ask(third, "SELECT 1");
    int count = 0;
    for (int tries = 0; tries < 100 && count == 0; tries++, sleep_ms(10))
        count = notifications(first, heard, sizeof heard);
    expect_number(count, 1);
    expect_text(heard, "news:one");
    ask(second, "SELECT 1");
    ask(third, "SELECT 1");
    expect_number(notifications(second, heard, sizeof heard), 0);
    expect_number(notifications(third, heard, sizeof heard), 0);
    ask(first, "NOTIFY news, 'self'");
    expect_number(notifications(first, heard, sizeof heard), 1);
    expect_text(heard, "news:self");
    PQfinish(first);
    ask(second, "NOTIFY news, 'nobody'");
    expect_number(notifications(second, heard, sizeof heard), 0);
    PQfinish(second);
    PQfinish(third);
}

CASE(encoding, "", "PQsetClientEncoding changes one handle's bytes only") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQsetClientEncoding(first, "LATIN1"), 0);
    for (int i = 0; i < 2; i++) {
        expect_text(ask(first, "SELECT chr(233)"), "\xe9");
        expect_text(ask(second, "SELECT chr(233)"), "\xc3\xa9");
        expect_text(pg_encoding_to_char(PQclientEncoding(first)), "LATIN1");
        expect_text(pg_encoding_to_char(PQclientEncoding(second)), "UTF8");
    }
    PQfinish(first);
    PGconn *third = open_handle();
    expect_text(ask(third, "SELECT chr(233)"), "\xc3\xa9");
    PQfinish(third);
    PQfinish(second);
}

CASE(backslashes, "",
     "standard_conforming_strings off in one handle: texts are read as the server reads them there") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SET standard_conforming_strings = off; SET escape_string_warning = off");
    ask(first, "SELECT 'a\\'; SET work_mem = ''11MB''; SELECT '");
    expect_text(ask(second, "SHOW standard_conforming_strings"), "on");
    expect_text(ask(first, "SHOW standard_conforming_strings"), "off");
    ask(second, "SELECT 'a\\'; SET work_mem = '11MB'; SELECT 'b'");
    expect_text(ask(second, "SHOW work_mem"), "11MB");
    expect_text(ask(first, "SELECT current_setting('work_mem') = '11MB'"), "f");
    PQfinish(first);
    PQfinish(second);
}

CASE(harmless_share, "", "plain SELECT, UPDATE and DELETE leave two handles on one backend") {
    control("DROP TABLE IF EXISTS part; CREATE TABLE part (id int, name text); GRANT ALL ON part TO PUBLIC;"
            "INSERT INTO part SELECT i, 'p' || i FROM generate_series(1, 50) i");
    PGconn *first = open_handle(), *second = open_handle();
    for (int i = 0; i < 5; i++) {
        ask(first, "SELECT count(*), max(upper(name)), now() FROM part WHERE id IN (SELECT 3)");
        ask(second, "UPDATE part SET name = lower(name) WHERE id = 4 RETURNING id");
        ask(first, "DELETE FROM part WHERE id = 5");
        ask(second, "BEGIN; SELECT 1; COMMIT");
        ask(first, "EXPLAIN SELECT * FROM part");
        ask(second, "SHOW work_mem");
        ask(first, "WITH x AS (SELECT 1 AS n) SELECT coalesce(sum(n), 0) FROM x");
    }
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}
