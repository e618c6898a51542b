/* broken.c: servers that go away: replaced while idle, libpq's own error otherwise, no statement twice. */
#include "case/case.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void terminate_all(void) {
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '%s'",
             getenv("PGAPPNAME"));
    expect(atoi(control(sql)) > 0);
    for (int tries = 0; tries < 250 && backends() > 0; tries++)
        sleep_ms(10);
    expect_number(backends(), 0);
}

static void tests_cluster(const char *what) {
    char command[512];
    snprintf(command, sizeof command, "unset LD_PRELOAD; tests/cluster %s >/dev/null 2>&1", what);
    expect_number(system(command), 0);
}

static void is_lost(PGconn *handle) {
    PGresult *result = PQexec(handle, "SELECT 1");
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    expect(*PQerrorMessage(handle) != '\0');
    PQclear(result);
}

CASE(killed_idle, "", "a connection killed while idle is replaced silently") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 1"), "1");
    terminate_all();
    sleep_ms(1200);
    if (sharing()) {
        expect_text(ask(first, "SELECT 2"), "2");
        expect_text(ask(second, "SELECT 3"), "3");
        expect_number(backends(), 1);
    } else {
        is_lost(first);
        expect_number(PQstatus(first), CONNECTION_BAD);
        PQreset(first);
        expect_text(ask(first, "SELECT 2"), "2");
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(killed_in_transaction, "",
     "one killed in a transaction gives libpq's own error, and PQreset brings the handle back") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    ask(first, "SELECT 1");
    terminate_all();
    sleep_ms(1200);
    PGresult *result = PQexec(first, "SELECT 'must not run in a new transaction'");
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    expect_part(PQerrorMessage(first), "terminating connection due to administrator command");
    PQclear(result);
    expect_number(PQstatus(first), CONNECTION_BAD);
    expect_number(PQtransactionStatus(first), PQTRANS_UNKNOWN);
    is_lost(first);
    PQreset(first);
    expect_number(PQstatus(first), CONNECTION_OK);
    expect_number(PQtransactionStatus(first), PQTRANS_IDLE);
    expect_text(ask(first, "SELECT 2"), "2");
    PQreset(second);
    expect_text(ask(second, "SELECT 3"), "3");
    PQfinish(first);
    PQfinish(second);
}

CASE(killed_pinned, "",
     "one killed with session state on it gives libpq's own error, not a session without the state") {
    PGconn *handle = open_handle();
    ask(handle, "SET work_mem = '3MB'");
    terminate_all();
    sleep_ms(1200);
    is_lost(handle);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    PQreset(handle);
    expect_text(ask(handle, "SELECT current_setting('work_mem') = '3MB'"), "f");
    PQfinish(handle);
}

static void *terminate_soon(void *nothing) {
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s' AND query "
             "LIKE '%%nextval%%' AND wait_event = 'PgSleep'",
             getenv("PGAPPNAME"));
    for (int tries = 0; tries < 200 && strcmp(control(sql), "t") != 0; tries++)
        sleep_ms(10);
    return nothing;
}

CASE(never_twice, "", "a statement that was under way when the server died is not repeated") {
    pthread_t killer;
    control("DROP SEQUENCE IF EXISTS times; CREATE SEQUENCE times; GRANT ALL ON SEQUENCE times TO PUBLIC");
    PGconn *handle = open_handle(), *other = open_handle();
    expect_text(ask(other, "SELECT 1"), "1");
    pthread_create(&killer, NULL, terminate_soon, NULL);
    PGresult *result = PQexec(handle, "SELECT nextval('times'), pg_sleep(20)");
    pthread_join(killer, NULL);
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    PQclear(result);
    expect_text(control("SELECT last_value || ' ' || is_called FROM times"), "1 true");
    PQfinish(handle);
    PQfinish(other);
}

CASE(server_restart, "",
     "after a restart of the server handles answer again, without state by themselves, with it by PQreset") {
    PGconn *plain = open_handle(), *pinned = open_handle();
    expect_text(ask(plain, "SELECT 1"), "1");
    ask(pinned, "SET work_mem = '3MB'");
    tests_cluster("restart");
    sleep_ms(1200);
    is_lost(pinned);
    PQreset(pinned);
    expect_text(ask(pinned, "SELECT 2"), "2");
    if (!sharing()) {
        is_lost(plain);
        PQreset(plain);
    }
    expect_text(ask(plain, "SELECT 3"), "3");
    PQfinish(plain);
    PQfinish(pinned);
}

CASE(server_down, "", "with the server down calls fail with libpq's own message; once it is up they work") {
    PGconn *handle = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    tests_cluster("stop");
    is_lost(handle);
    PGconn *late = PQconnectdb("dbname=shop user=app");
    expect_number(PQstatus(late), CONNECTION_BAD);
    expect_part(PQerrorMessage(late),
                "Is the server running locally and accepting connections on that socket?");
    expect_number(PQtransactionStatus(late), PQTRANS_UNKNOWN);
    PQfinish(late);
    expect_number(PQping("dbname=shop user=app"), PQPING_NO_RESPONSE);
    PQreset(handle);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    tests_cluster("start");
    expect_number(PQping("dbname=shop user=app"), PQPING_OK);
    PQreset(handle);
    expect_text(ask(handle, "SELECT 2"), "2");
    PQfinish(handle);
}

/* libpq closes its socket when it finds the connection dead; the next one gets the number. */
static void end_with_a_neighbour(void (*end)(PGconn *)) {
    PGconn *dead = open_handle(), *neighbour = open_handle();
    char sql[80];
    ask(dead, "BEGIN");
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", PQbackendPID(dead));
    control(sql);
    sleep_ms(100);
    PQclear(PQexec(dead, "SELECT 1"));
    expect_number(PQstatus(dead), CONNECTION_BAD);
    ask(neighbour, "BEGIN");
    const char *backend = ask(neighbour, "SELECT pg_backend_pid()");
    end(dead);
    expect_text(ask(neighbour, "SELECT pg_backend_pid()"), backend);
    ask(neighbour, "COMMIT");
    expect_number(PQstatus(neighbour), CONNECTION_OK);
    PQfinish(neighbour);
}

CASE(finished_dead, "",
     "PQfinish of a connection that is dead leaves the one that has its number now alone") {
    end_with_a_neighbour(PQfinish);
}

static void reset_and_finish(PGconn *handle) {
    PQreset(handle);
    expect_text(ask(handle, "SELECT 'anew'"), "anew");
    PQfinish(handle);
}

CASE(reset_dead, "", "PQreset of a connection that is dead leaves the one that has its number now alone") {
    end_with_a_neighbour(reset_and_finish);
}
