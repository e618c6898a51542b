/* queueing.c: PQsend* on a handle for which there is no connection: it is sent later, and nobody blocks. */
#include "case/replies.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The order in which statements ran: an UPDATE pins nothing, as an INSERT would. */
static void make_log(void) {
    control(
        "DROP TABLE IF EXISTS journal; CREATE TABLE journal (names text); INSERT INTO journal VALUES ('');"
        "GRANT ALL ON journal TO PUBLIC");
}

static const char *note_of(const char *name) {
    static char sql[200];
    snprintf(sql, sizeof sql, "UPDATE journal SET names = names || '%s'", name);
    return sql;
}

static const char *journal(void) {
    return control("SELECT names FROM journal");
}

PGconn *open_the_holder(void);
__attribute__((noinline)) PGconn *open_the_holder(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    expect_number(PQstatus(handle), CONNECTION_OK);
    return handle;
}

/* Another thread has the only connection for a while. Bare there is one for each, and nothing to wait for. */
static pthread_t holder_thread;
static struct answer holder;
static void hold(const char *sql) {
    holder = (struct answer){.handle = open_the_holder(), .sql = sharing() ? sql : "SELECT pg_sleep(0.3)"};
    ask(holder.handle, "SELECT 1");
    pthread_create(&holder_thread, NULL, answer_in_thread, &holder);
    expect_running("pg_sleep");
}
static void hold_no_more(void) {
    pthread_join(holder_thread, NULL);
    expect_text(holder.state, "");
    PQfinish(holder.handle);
}

CASE(values, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "what a queued handle answers is what one answers that waits for its server") {
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "SELECT pg_sleep(0.3), 'first'");
    send_query(second, "SELECT pg_sleep(0.3), 'second'");
    for (int look = 0; look < 5; look++) {
        expect_number(PQflush(second), 0);
        expect_number(PQisBusy(second), 1);
        expect_number(PQconsumeInput(second), 1);
        expect(PQnotifies(second) == NULL);
        expect_number(PQtransactionStatus(second), PQTRANS_ACTIVE);
        expect_number(PQstatus(second), CONNECTION_OK);
        expect_number(PQpipelineStatus(second), PQ_PIPELINE_OFF);
        expect_text(PQerrorMessage(second), "");
        expect(!is_ready(second, POLLIN, 10));
        expect(is_ready(second, POLLOUT, 0));
    }
    expect_number(PQsendQuery(second, "SELECT 'too early'"), 0);
    expect_text(PQerrorMessage(second), "another command is already in progress\n");
    expect_number(PQenterPipelineMode(second), 0);
    expect_number(PQputCopyData(second, "1\n", 2), -1);
    expect_part(PQerrorMessage(second), "no COPY in progress");
    wait_while_busy(first);
    expect_text(drain(first), "");
    wait_while_busy(second);
    PGresult *result = PQgetResult(second);
    expect_text(PQgetvalue(result, 0, 1), "second");
    PQclear(result);
    no_more(second);
    expect_number(PQtransactionStatus(second), PQTRANS_IDLE);
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(first_come, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "first come, first served, whenever the handles were opened") {
    enum { HANDLES = 10 };
    static const int order[HANDLES] = {7, 2, 9, 0, 4, 1, 8, 3, 6, 5};
    PGconn *handles[HANDLES], *first = open_handle();
    char name[2] = "";
    make_log();
    for (int i = 0; i < HANDLES; i++)
        handles[i] = open_handle();
    for (int round = 0; round < 3; round++) {
        control("UPDATE journal SET names = ''");
        send_query(first, "SELECT pg_sleep(0.05)");
        for (int i = 0; i < HANDLES; i++) {
            name[0] = (char)('0' + order[i]);
            send_query(handles[order[i]], note_of(name));
        }
        wait_while_busy(first);
        expect_text(drain(first), "");
        for (int i = 0; i < HANDLES; i++) {
            wait_while_busy(handles[order[i]]);
            only_reply(handles[order[i]], "UPDATE 1");
        }
        if (sharing())
            expect_text(journal(), "7290418365");
        expect_number((int)strlen(journal()), HANDLES);
    }
    expect_backends(HANDLES + 1, 1);
    for (int i = 0; i < HANDLES; i++)
        PQfinish(handles[i]);
    PQfinish(first);
}

CASE(releaser_sends, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "whoever releases the connection sends for the next, whose owner makes no call") {
    PGconn *first = open_handle(), *second = open_handle();
    int number = PQsocket(second);
    send_query(first, "SELECT pg_sleep(0.2)");
    send_query(second, "SELECT pg_sleep(0.4), 'asked for by the second'");
    if (sharing())
        expect_text(control("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'by the second' AND pid <> "
                            "pg_backend_pid()"),
                    "0");
    wait_while_busy(first);
    expect_text(drain(first), "");
    expect_running("by the second");
    struct pollfd wait = {number, POLLIN, 0};
    expect_number(poll(&wait, 1, 5000), 1);
    expect_number(PQsocket(second), number);
    expect_number(PQconsumeInput(second), 1);
    expect_number(PQisBusy(second), 0);
    expect_text(drain(second), "");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(get_result_waits, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "PQgetResult on a queued handle waits until its turn has come") {
    PGconn *handle = open_handle();
    hold("SELECT pg_sleep(0.6)");
    send_query(handle, "SELECT 'in its turn'");
    expect_number(PQsetSingleRowMode(handle), 1);
    expect_text(reply(handle), "in its turn");
    if (sharing())
        expect(seconds_now() - holder.began > 0.4);
    reply_is(handle, PGRES_TUPLES_OK);
    no_more(handle);
    expect_backends(2, 1);
    hold_no_more();
    PQfinish(handle);
}

CASE(exec_discards, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "PQexec on a queued handle runs what was queued, discards its results, and runs its own") {
    PGconn *handle = open_handle();
    make_log();
    hold("SELECT pg_sleep(0.4)");
    send_query(handle, note_of("queued "));
    expect_text(ask(handle, "SELECT names FROM journal"), "queued ");
    no_more(handle);
    hold_no_more();
    PQfinish(handle);
}

/* The next move of the holder is the program's own, so nobody can wait for it; meanwhile the loop goes round.
 */
CASE(inside_transaction, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a query inside another handle's open transaction, in one loop at the cap, goes over the cap and is "
     "logged") {
    PGconn *first = open_handle(), *second = open_handle();
    double start = seconds_now();
    send_query(first, "BEGIN");
    expect_text(drain(first), "");
    send_query(second, "SELECT 'inside'");
    wait_while_busy(second);
    only_reply(second, "inside");
    expect(seconds_now() - start < 3);
    expect_number(PQtransactionStatus(first), PQTRANS_INTRANS);
    expect_number(backends(), 2);
    if (sharing())
        expect(log_lines(" wait:", "PQONE_MAX_CONNECTIONS=1") >= 1);
    send_query(second, "SELECT 'again'");
    wait_while_busy(second);
    only_reply(second, "again");
    send_query(first, "COMMIT");
    only_reply(first, "COMMIT");
    expect_number(backends(), 2);
    PQfinish(first);
    PQfinish(second);
}

CASE(row_by_row, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "rows stream on one handle, and for each row another is queried, in one loop at the cap") {
    PGconn *first = open_handle(), *second = open_handle();
    double start = seconds_now();
    char wanted[32];
    send_query(first, "SELECT i, repeat('x', 1000) FROM generate_series(1, 2000) i");
    expect_number(PQsetSingleRowMode(first), 1);
    for (int row = 1; row <= 30; row++) {
        wait_while_busy(first);
        snprintf(wanted, sizeof wanted, "%d", row);
        expect_text(reply(first), wanted);
        send_with(second, "SELECT 'for row ' || $1", wanted);
        wait_while_busy(second);
        snprintf(wanted, sizeof wanted, "for row %d", row);
        only_reply(second, wanted);
    }
    expect(seconds_now() - start < 5);
    expect_text(drain(first), "");
    expect_number(backends(), 2);
    PQfinish(first);
    PQfinish(second);
}

CASE(short_transaction, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "who waits for a transaction of its own loop that goes on is served after it, and sees what it did") {
    PGconn *first = open_handle(), *second = open_handle();
    make_log();
    send_query(first, "BEGIN");
    expect_text(drain(first), "");
    send_query(second, "SELECT count(*) FROM journal WHERE names = 'ab'");
    send_query(first, note_of("a"));
    expect_text(drain(first), "");
    send_query(first, note_of("b"));
    expect_text(drain(first), "");
    send_query(first, "COMMIT");
    wait_while_busy(first);
    expect_text(drain(first), "");
    wait_while_busy(second);
    const char *seen = reply(second);
    expect_text(seen, sharing() ? "1" : seen);
    no_more(second);
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(forms, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "queued: single-row mode, many statements, an error, nothing, parameters") {
    PGconn *first = open_handle(), *handles[5];
    for (int i = 0; i < 5; i++)
        handles[i] = open_handle();
    send_query(first, "SELECT pg_sleep(0.1)");
    send_query(handles[0], "SELECT generate_series(1, 3)");
    expect_number(PQsetSingleRowMode(handles[0]), 1);
    send_query(handles[1], "SELECT 'one'; SELECT 'two'");
    send_query(handles[2], "SELECT 1/0");
    send_query(handles[3], "");
    char value[16] = "was here";
    send_with(handles[4], "SELECT $1", value);
    memset(value, 'x', 8);
    wait_while_busy(first);
    expect_text(drain(first), "");
    for (int row = 0; row < 3; row++) {
        wait_while_busy(handles[0]);
        reply_is(handles[0], PGRES_SINGLE_TUPLE);
    }
    reply_is(handles[0], PGRES_TUPLES_OK);
    no_more(handles[0]);
    wait_while_busy(handles[1]);
    expect_text(reply(handles[1]), "one");
    only_reply(handles[1], "two");
    wait_while_busy(handles[2]);
    expect_text(reply_error(handles[2]), "22012");
    no_more(handles[2]);
    expect_part(PQerrorMessage(handles[2]), "division by zero");
    reply_is(handles[3], PGRES_EMPTY_QUERY);
    no_more(handles[3]);
    only_reply(handles[4], "was here");
    expect_backends(6, 1);
    PQfinish(first);
    for (int i = 0; i < 5; i++)
        PQfinish(handles[i]);
}

CASE(pipeline, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "queued: a pipeline, entered and left, with an error in the middle") {
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "SELECT pg_sleep(0.1)");
    expect_number(PQenterPipelineMode(second), 1);
    expect_number(PQpipelineStatus(second), PQ_PIPELINE_ON);
    send_with(second, "SELECT $1", "one");
    send_with(second, "SELECT 1 / (length($1) - 4)", "zero");
    send_with(second, "SELECT $1", "aborted");
    expect_number(PQpipelineSync(second), 1);
    send_with(second, "SELECT $1", "two");
    expect_number(PQsendFlushRequest(second), 1);
    expect_number(PQflush(second), 0);
    expect_number(PQexitPipelineMode(second), 0);
    wait_while_busy(first);
    expect_text(drain(first), "");
    wait_while_busy(second);
    only_reply(second, "one");
    expect_text(reply_error(second), "22012");
    no_more(second);
    reply_is(second, PGRES_PIPELINE_ABORTED);
    no_more(second);
    reply_is(second, PGRES_PIPELINE_SYNC);
    wait_while_busy(second);
    only_reply(second, "two");
    expect_number(PQpipelineSync(second), 1);
    reply_is(second, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(second), 1);
    send_query(first, "SELECT 'first'");
    send_query(second, "SELECT 'second'");
    only_reply(first, "first");
    only_reply(second, "second");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(copies, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1", "queued: COPY out, and COPY in") {
    control("DROP TABLE IF EXISTS crate; CREATE TABLE crate (n int); GRANT ALL ON crate TO PUBLIC");
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    char *buffer;
    send_query(first, "SELECT pg_sleep(0.1)");
    send_query(second, "COPY (SELECT 'line') TO STDOUT");
    send_query(third, "COPY crate FROM STDIN");
    wait_while_busy(first);
    expect_text(drain(first), "");
    wait_while_busy(second);
    reply_is(second, PGRES_COPY_OUT);
    expect_number(PQgetCopyData(second, &buffer, 0), 5);
    expect_text(buffer, "line\n");
    PQfreemem(buffer);
    expect_number(PQgetCopyData(second, &buffer, 0), -1);
    only_reply(second, "COPY 1");
    wait_while_busy(third);
    reply_is(third, PGRES_COPY_IN);
    expect_number(PQputCopyData(third, "7\n", 2), 1);
    expect_number(PQputCopyEnd(third, NULL), 1);
    wait_while_busy(third);
    only_reply(third, "COPY 1");
    expect_text(control("SELECT sum(n) FROM crate"), "7");
    PQfinish(first);
    PQfinish(second);
    PQfinish(third);
}

CASE(prepared, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "queued: a statement prepared, and later executed; a foreign name is unknown") {
    const char *values[] = {"41"};
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    send_query(first, "SELECT pg_sleep(0.1)");
    expect_number(PQsendPrepare(second, "plus", "SELECT $1::int + 1", 1, NULL), 1);
    expect_number(PQsendQueryPrepared(third, "plus", 1, values, NULL, NULL, 0), 1);
    wait_while_busy(first);
    expect_text(drain(first), "");
    wait_while_busy(second);
    reply_is(second, PGRES_COMMAND_OK);
    no_more(second);
    expect_number(PQsendQueryPrepared(second, "plus", 1, values, NULL, NULL, 0), 1);
    wait_while_busy(second);
    only_reply(second, "42");
    wait_while_busy(third);
    expect_text(drain(third), "26000");
    send_query(first, "SELECT pg_sleep(0.1)");
    expect_number(PQsendDescribePrepared(second, "plus"), 1);
    PGresult *result = PQgetResult(second);
    expect_number(PQnparams(result), 1);
    PQclear(result);
    no_more(second);
    expect_text(drain(first), "");
    PQfinish(first);
    PQfinish(second);
    PQfinish(third);
}

CASE(unnamed, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1", "queued: an unnamed statement is not another's") {
    const char *values[] = {"41"};
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQsendPrepare(first, "", "SELECT pg_sleep(0.1), $1::text", 1, NULL), 1);
    expect_number(PQsendQueryPrepared(second, "", 1, values, NULL, NULL, 0), 1);
    expect_text(drain(first), "");
    expect_text(drain(second), "26000");
    PQfinish(first);
    PQfinish(second);
}

CASE(session_state, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "queued: a setting, a temporary table and a transaction stay their handle's") {
    PGconn *first = open_handle(), *handles[3];
    static const char *const sql[] = {"SET work_mem = '3MB'", "CREATE TEMP TABLE basket AS SELECT 42 AS n",
                                      "BEGIN ISOLATION LEVEL SERIALIZABLE"};
    for (int i = 0; i < 3; i++)
        handles[i] = open_handle();
    send_query(first, "SELECT pg_sleep(0.1)");
    for (int i = 0; i < 3; i++)
        send_query(handles[i], sql[i]);
    expect_text(drain(first), "");
    for (int i = 0; i < 3; i++) {
        wait_while_busy(handles[i]);
        expect_text(drain(handles[i]), "");
    }
    expect_text(ask(handles[0], "SHOW work_mem"), "3MB");
    expect_text(ask(handles[1], "SELECT n FROM basket"), "42");
    expect_text(ask(handles[2], "SHOW transaction_isolation"), "serializable");
    expect_number(PQtransactionStatus(handles[2]), PQTRANS_INTRANS);
    expect_text(ask(first, "SELECT current_setting('work_mem') = '3MB'"), "f");
    expect_text(refused(first, "SELECT n FROM basket"), "42P01");
    expect_text(ask(first, "SHOW transaction_isolation"), "read committed");
    ask(handles[2], "COMMIT");
    PQfinish(first);
    for (int i = 0; i < 3; i++)
        PQfinish(handles[i]);
}

static void hear(void *heard, const PGresult *notice) {
    snprintf(heard, 200, "%s", PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
}

CASE(manners, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "non-blocking mode, receiver and verbosity changed while queued hold for what was queued") {
    char before[200] = "", heard[200] = "";
    PGconn *first = open_handle(), *second = open_handle();
    PQsetNoticeReceiver(second, hear, before);
    send_query(first, "SELECT pg_sleep(0.2)");
    send_query(second, "DROP TABLE IF EXISTS no_such_table; SELECT 1/0");
    PQsetNoticeReceiver(second, hear, heard);
    expect_number(PQsetnonblocking(second, 1), 0);
    expect_number(PQisnonblocking(second), 1);
    expect_number(PQisnonblocking(first), 0);
    PQsetErrorVerbosity(second, PQERRORS_SQLSTATE);
    wait_while_busy(first);
    expect_text(drain(first), "");
    wait_while_busy(second);
    expect_text(drain(second), "22012");
    expect_text(PQerrorMessage(second), "ERROR:  22012\n");
    expect_text(heard, "table \"no_such_table\" does not exist, skipping");
    expect_text(before, "");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(large, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "queued: a statement of some megabytes goes out whole, though its owner waits for input alone") {
    enum { SIZE = 6 << 20 };
    PGconn *first = open_handle(), *second = open_handle();
    char *text = malloc(SIZE + 64), *at = stpcpy(text, "SELECT length('");
    memset(at, 'x', SIZE);
    strcpy(at + SIZE, "')");
    expect_number(PQsetnonblocking(second, 1), 0);
    for (int round = 0; round < 2; round++) {
        send_query(first, "SELECT pg_sleep(0.1)");
        send_query(second, text);
        int unsent;
        while ((unsent = PQflush(second)) == 1) {
            expect(is_ready(second, POLLIN | POLLOUT, 10000));
            expect_number(PQconsumeInput(second), 1);
        }
        expect_number(unsent, 0);
        wait_while_busy(first);
        expect_text(drain(first), "");
        wait_while_busy(second);
        only_reply(second, "6291456");
    }
    free(text);
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}
