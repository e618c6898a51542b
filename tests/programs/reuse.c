/* reuse.c: a server connection that is handed on after PQfinish is as new; and when it is closed at all. */
#include "case/case.h"

#include <stdio.h>
#include <stdlib.h>

/* Everything of a session that a query can see. */
static const char everything[] =
    "SELECT concat_ws('|', current_user, session_user, current_setting('search_path'), "
    "current_setting('work_mem'),"
    " current_setting('timezone'), current_setting('my.var', true) IS NULL, to_regclass('basket') IS NULL,"
    " (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE is_holdable),"
    " (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_locks WHERE locktype = "
    "'advisory' AND pid = pg_backend_pid()),"
    " current_setting('client_encoding'), current_setting('default_transaction_isolation'))";

static void as_new_after(const char *spoil) {
    PGconn *reference = open_handle();
    char wanted[512];
    snprintf(wanted, sizeof wanted, "%s", ask(reference, everything));
    for (int i = 0; i < 3; i++) {
        PGconn *spoiler = open_handle();
        ask(spoiler, spoil);
        PQfinish(spoiler);
        PGconn *next = open_handle(), *other = open_handle();
        expect_text(ask(next, everything), wanted);
        expect_text(ask(other, everything), wanted);
        PQfinish(next);
        PQfinish(other);
    }
    PQfinish(reference);
}

CASE(after_setting, "", "after SET and PQfinish the next handle's session is as new") {
    as_new_after("SET work_mem = '3MB'; SET timezone = 'Asia/Tokyo'; SET search_path = pg_temp");
}
CASE(after_role, "", "after SET ROLE and PQfinish the next handle's session is as new") {
    as_new_after("SET ROLE accountant");
}
CASE(after_custom, "",
     "after SET my.var, which DISCARD ALL does not undo, the next handle's session is as new") {
    as_new_after("SET my.var = 'mine'");
}
CASE(after_custom_discarded, "", "also when the program itself said DISCARD ALL") {
    as_new_after("SELECT 1; SET my.var = 'mine'; RESET my.var");
}
CASE(after_temporary, "", "after CREATE TEMP TABLE and PQfinish the next handle's session is as new") {
    as_new_after("CREATE TEMP TABLE basket (n int)");
}
CASE(after_listen, "", "after LISTEN and an advisory lock the next handle's session is as new") {
    as_new_after("LISTEN news; SELECT pg_advisory_lock(7)");
}
CASE(after_prepare, "", "after PREPARE and a held cursor the next handle's session is as new") {
    as_new_after("PREPARE q AS SELECT 1; BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT");
}
CASE(after_open_transaction, "",
     "after a transaction that PQfinish interrupted the next handle's session is as new") {
    as_new_after("BEGIN; SET LOCAL work_mem = '3MB'; CREATE TEMP TABLE basket (n int)");
}

CASE(after_discard_all, "", "DISCARD ALL, said by the program, works and leaves a usable handle") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SET work_mem = '3MB'");
    ask(first, "DISCARD ALL");
    expect_text(ask(first, "SELECT current_setting('work_mem') = '3MB'"), "f");
    expect_text(ask(second, "SELECT 1"), "1");
    PQfinish(first);
    PQfinish(second);
}

CASE(after_unread_result, "",
     "PQfinish with a result unread, in single-row mode, does not reach the next handle") {
    PGconn *stays = open_handle();
    for (int i = 0; i < 10; i++) {
        PGconn *goes = open_handle();
        expect_number(PQsendQuery(goes, "SELECT generate_series(1, 100000)"), 1);
        expect_number(PQsetSingleRowMode(goes), 1);
        PGresult *row = PQgetResult(goes);
        expect_number(PQresultStatus(row), PGRES_SINGLE_TUPLE);
        PQclear(row);
        PQfinish(goes);
        expect_text(ask(stays, "SELECT 'mine'"), "mine");
    }
    PQfinish(stays);
}

CASE(after_half_copy, "", "PQfinish in the middle of COPY FROM and COPY TO does not reach the next handle") {
    control("DROP TABLE IF EXISTS crate; CREATE TABLE crate (n int); GRANT ALL ON crate TO PUBLIC");
    PGconn *stays = open_handle();
    for (int i = 0; i < 5; i++) {
        PGconn *in = open_handle(), *out = open_handle();
        PGresult *result = PQexec(in, "COPY crate FROM STDIN");
        expect_number(PQresultStatus(result), PGRES_COPY_IN);
        PQclear(result);
        expect_number(PQputCopyData(in, "1\n", 2), 1);
        result = PQexec(out, "COPY (SELECT generate_series(1, 100000)) TO STDOUT");
        expect_number(PQresultStatus(result), PGRES_COPY_OUT);
        PQclear(result);
        PQfinish(in);
        PQfinish(out);
        expect_text(ask(stays, "SELECT 'mine'"), "mine");
    }
    expect_text(ask(stays, "SELECT count(*) FROM crate"), "0");
    PQfinish(stays);
}

CASE(lingers, "PQONE_LINGER=300ms",
     "after the last handle of a target its connections go within the linger time") {
    PGconn *one = open_handle(), *two = open_handle();
    ask(one, "BEGIN");
    ask(two, "SELECT 1");
    PQfinish(one);
    PQfinish(two);
    if (sharing())
        expect(backends() >= 1);
    expect_backends(0, 0);
}

CASE(reconnect_reuses, "", "open, SELECT, finish again and again uses one backend") {
    char first[16] = "";
    for (int i = 0; i < 50; i++) {
        PGconn *handle = open_handle();
        expect_text(ask(handle, "SELECT 1"), "1");
        char sql[256];
        snprintf(sql, sizeof sql,
                 "SELECT pid FROM pg_stat_activity WHERE application_name = '%s' ORDER BY backend_start DESC",
                 getenv("PGAPPNAME"));
        const char *pid = control(sql);
        if (!*first)
            snprintf(first, sizeof first, "%s", pid);
        if (sharing())
            expect_text(pid, first);
        PQfinish(handle);
    }
}

CASE(idle_timeout, "PQONE_IDLE_TIMEOUT=300ms",
     "an idle connection is closed while handles are open, and made again") {
    PGconn *handle = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    sleep_ms(700);
    expect_backends(1, 0);
    expect_text(ask(handle, "SELECT 2"), "2");
    PQfinish(handle);
}

CASE(maximum_lifetime, "PQONE_MAX_LIFETIME=300ms",
     "a connection older than its lifetime is closed once it is idle") {
    PGconn *handle = open_handle();
    for (int i = 0; i < 12; i++, sleep_ms(100))
        expect_text(ask(handle, "SELECT 1"), "1");
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT bool_and(now() - backend_start < interval '900 ms') FROM pg_stat_activity"
             " WHERE application_name = '%s'",
             getenv("PGAPPNAME"));
    if (sharing())
        expect(control(sql)[0] != 'f');
    PQfinish(handle);
}

CASE(drop_database, "PQONE_LINGER=1min", "DROP DATABASE is not refused for connections that only linger") {
    control("DROP DATABASE IF EXISTS scratch");
    control("CREATE DATABASE scratch");
    PGconn *handle = open_with("dbname=scratch");
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
    if (!sharing())
        sleep_ms(200);
    PGconn *owner = open_with("user=owner");
    ask(owner, "DROP DATABASE scratch");
    ask(owner, "CREATE DATABASE scratch");
    ask(owner, "ALTER DATABASE scratch RENAME TO scratch_two");
    ask(owner, "DROP DATABASE scratch_two");
    PQfinish(owner);
}
