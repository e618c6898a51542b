/* streams.c: COPY and pipelines by PQsend* and PQflush, and handles that are left in the middle of them. */
#define _GNU_SOURCE
#include "libpq_newer.h"

#include "case/replies.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With the shim every name is found, so the loaded libpq's version decides. */
static void *look_up(const char *name, int version) {
    char reason[128];
    int loaded = PQlibVersion() / 10000;
    snprintf(reason, sizeof reason, "%s came with libpq %d, this is %d", name, version, loaded);
    if (loaded < version)
        skip(reason);
    return dlsym(RTLD_DEFAULT, name);
}
#define SINCE(version, name) ((__typeof__(&name))look_up(#name, version))

static int send_params(PGconn *handle, const char *sql) {
    return PQsendQueryParams(handle, sql, 0, NULL, NULL, NULL, NULL, 0);
}

static void make_crate(const char *trigger) {
    control("DROP TABLE IF EXISTS crate; CREATE TABLE crate (n int, v text); GRANT ALL ON crate TO PUBLIC;"
            "CREATE OR REPLACE FUNCTION crate_pause() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END$$");
    control(trigger);
}

static void no_trigger(void) {
    make_crate("SELECT 1");
}

/* As psycopg 3 does: waits for room before it sends, and for input where there is none. */
static void flush_by_loop(PGconn *handle) {
    int unsent;
    while ((unsent = PQflush(handle)) == 1) {
        expect(is_ready(handle, POLLIN | POLLOUT, 10000));
        expect_number(PQconsumeInput(handle), 1);
    }
    expect_number(unsent, 0);
}

CASE(copy_in, "", "COPY FROM STDIN in non-blocking mode: the number shows when there is room") {
    make_crate("CREATE TRIGGER pause BEFORE INSERT ON crate FOR EACH ROW WHEN (NEW.n = 0) EXECUTE FUNCTION "
               "crate_pause()");
    enum { ROWS = 1000 };
    static char line[8200];
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQsetnonblocking(first, 1), 0);
    send_query(first, "COPY crate FROM STDIN");
    flush_by_loop(first);
    wait_while_busy(first);
    reply_is(first, PGRES_COPY_IN);
    bool was_full = false;
    for (int i = 0; i < ROWS; i++) {
        int length = snprintf(line, 16, "%d\t", i);
        memset(line + length, 'x', 8000);
        line[length + 8000] = '\n';
        expect_number(PQputCopyData(first, line, length + 8001), 1);
        was_full = was_full || (PQflush(first) == 1 && !is_ready(first, POLLOUT, 0));
        if (i % 250 == 0)
            expect_text(ask(second, "SELECT count(*) FROM crate"), "0");
    }
    expect(was_full);
    flush_by_loop(first);
    expect(is_ready(first, POLLOUT, 5000));
    expect_number(PQputCopyEnd(first, NULL), 1);
    flush_by_loop(first);
    wait_while_busy(first);
    only_reply(first, "COPY 1000");
    expect_text(ask(second, "SELECT sum(length(v)) FROM crate"), "8000000");
    expect_backends(2, 2);
    PQfinish(first);
    PQfinish(second);
}

CASE(copy_out, "", "COPY TO STDOUT in non-blocking mode, a neighbour's query for every line") {
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "COPY (SELECT i, repeat('x', 200) FROM generate_series(1, 200) i) TO STDOUT");
    wait_while_busy(first);
    reply_is(first, PGRES_COPY_OUT);
    int lines = 0, length;
    char *buffer;
    while ((length = PQgetCopyData(first, &buffer, 1)) >= 0)
        if (length == 0) {
            expect(is_ready(first, POLLIN, 10000));
            expect_number(PQconsumeInput(first), 1);
        } else {
            expect_number(atoi(buffer), ++lines);
            PQfreemem(buffer);
            send_query(second, "SELECT 'between'");
            only_reply(second, "between");
        }
    expect_number(length, -1);
    expect_number(lines, 200);
    only_reply(first, "COPY 200");
    send_query(first, "SELECT 'after'");
    only_reply(first, "after");
    PQfinish(first);
    PQfinish(second);
}

CASE(copy_fails, "", "a COPY that the server or the program ends with an error, sent without waiting") {
    no_trigger();
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "COPY crate FROM STDIN; SELECT 'not reached'");
    reply_is(first, PGRES_COPY_IN);
    expect_number(PQputCopyData(first, "no number\tx\n", 12), 1);
    expect_number(PQputCopyEnd(first, NULL), 1);
    expect_text(reply_error(first), "22P02");
    no_more(first);
    send_query(first, "COPY crate FROM STDIN");
    reply_is(first, PGRES_COPY_IN);
    expect_number(PQputCopyEnd(first, "changed my mind"), 1);
    expect_text(ask(second, "SELECT count(*) FROM crate"), "0");
    expect_text(drain(first), "57014");
    send_query(first, "SELECT 'usable'");
    only_reply(first, "usable");
    expect_backends(2, 2);
    PQfinish(first);
    PQfinish(second);
}

CASE(pipeline, "", "a pipeline read while it is written: many queries, a sync after each tenth") {
    PGconn *first = open_handle(), *second = open_handle();
    char value[32];
    expect_number(PQsetnonblocking(first, 1), 0);
    expect_number(PQenterPipelineMode(first), 1);
    for (int i = 1; i <= 100; i++) {
        snprintf(value, sizeof value, "%d", i);
        send_with(first, "SELECT $1", value);
        if (i % 10 == 0)
            expect_number(PQpipelineSync(first), 1);
    }
    flush_by_loop(first);
    expect_text(ask(second, "SELECT 'plain'"), "plain");
    for (int i = 1; i <= 100; i++) {
        snprintf(value, sizeof value, "%d", i);
        wait_while_busy(first);
        only_reply(first, value);
        if (i % 10 == 0)
            reply_is(first, PGRES_PIPELINE_SYNC);
    }
    no_more(first);
    expect_number(PQexitPipelineMode(first), 1);
    send_query(first, "SELECT 'out'");
    only_reply(first, "out");
    for (int i = 0; i < 3; i++) {
        expect_text(ask(second, "SELECT 'in turn'"), "in turn");
        expect_text(ask(first, "SELECT 'in turn'"), "in turn");
    }
    expect_backends(2, 2);
    PQfinish(first);
    PQfinish(second);
}

CASE(pipeline_rests, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "between two pipelines of a handle that stays in the mode others have the connection, but not before a "
     "sync") {
    no_trigger();
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    for (int round = 0; round < 3; round++) {
        expect_number(send_params(first, "SELECT 'in it'"), 1);
        expect_number(PQpipelineSync(first), 1);
        only_reply(first, "in it");
        reply_is(first, PGRES_PIPELINE_SYNC);
        expect_number(PQpipelineStatus(first), PQ_PIPELINE_ON);
        expect_text(ask(second, "SELECT 'between'"), "between");
    }
    expect_number(log_lines("over PQONE_MAX_CONNECTIONS", NULL), 0);
    expect_backends(2, 1);
    expect_number(send_params(first, "INSERT INTO crate VALUES (1)"), 1);
    expect_number(PQsendFlushRequest(first), 1);
    only_reply(first, "INSERT 0 1");
    expect_text(ask(second, "SELECT count(*) FROM crate"), "0");
    expect_number(PQpipelineSync(first), 1);
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_text(ask(second, "SELECT count(*) FROM crate"), "1");
    expect_number(PQexitPipelineMode(first), 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(pipeline_abort, "", "an error in the middle of a pipeline: the rest is aborted up to the sync") {
    no_trigger();
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(send_params(first, "INSERT INTO crate VALUES (1)"), 1);
    expect_number(send_params(first, "SELECT 1/0"), 1);
    expect_number(send_params(first, "INSERT INTO crate VALUES (2)"), 1);
    expect_number(PQpipelineSync(first), 1);
    expect_number(send_params(first, "SELECT 'next'"), 1);
    expect_number(PQpipelineSync(first), 1);
    only_reply(first, "INSERT 0 1");
    expect_text(reply_error(first), "22012");
    no_more(first);
    expect_number(PQpipelineStatus(first), PQ_PIPELINE_ABORTED);
    expect_number(PQpipelineStatus(second), PQ_PIPELINE_OFF);
    send_query(second, "SELECT count(*) FROM crate");
    only_reply(second, "0");
    reply_is(first, PGRES_PIPELINE_ABORTED);
    no_more(first);
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_number(PQpipelineStatus(first), PQ_PIPELINE_ON);
    only_reply(first, "next");
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(first), 1);
    expect_text(ask(first, "SELECT count(*) FROM crate"), "0");
    PQfinish(first);
    PQfinish(second);
}

CASE(pipeline_rules, "", "what is not allowed in or out of a pipeline is refused in libpq's words") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(PQpipelineStatus(first), PQ_PIPELINE_ON);
    PGresult *result = PQexec(first, "SELECT 1");
    expect(result == NULL);
    expect_part(PQerrorMessage(first),
                "synchronous command execution functions are not allowed in pipeline mode");
    expect_number(PQsendQuery(first, "SELECT 1"), 0);
    expect_part(PQerrorMessage(first), "PQsendQuery not allowed in pipeline mode");
    expect_number(send_params(first, "SELECT 'flushed'"), 1);
    expect_number(PQexitPipelineMode(first), 0);
    expect_number(PQsendFlushRequest(first), 1);
    expect_number(PQflush(first), 0);
    wait_while_busy(first);
    only_reply(first, "flushed");
    expect_text(ask(second, "SELECT 'between'"), "between");
    expect_number(PQpipelineSync(first), 1);
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(first), 1);
    expect_number(PQexitPipelineMode(first), 1);
    expect_text(ask(first, "SELECT 1"), "1");
    expect_number(PQpipelineSync(first), 0);
    expect_part(PQerrorMessage(first), "cannot send pipeline when not in pipeline mode");
    PQfinish(first);
    PQfinish(second);
}

CASE(pipeline_single_row, "", "single-row mode and prepared statements in a pipeline") {
    const char *values[] = {"3"};
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(PQsendPrepare(first, "up", "SELECT generate_series(1, $1::int)", 1, NULL), 1);
    expect_number(PQsendQueryPrepared(first, "up", 1, values, NULL, NULL, 0), 1);
    expect_number(PQsendDescribePrepared(first, "up"), 1);
    expect_number(PQpipelineSync(first), 1);
    reply_is(first, PGRES_COMMAND_OK);
    no_more(first);
    expect_number(PQsetSingleRowMode(first), 1);
    for (int row = 1; row <= 3; row++) {
        reply_is(first, PGRES_SINGLE_TUPLE);
        expect_text(ask(second, "SELECT 'between'"), "between");
    }
    reply_is(first, PGRES_TUPLES_OK);
    no_more(first);
    PGresult *result = PQgetResult(first);
    expect_number(PQnparams(result), 1);
    PQclear(result);
    no_more(first);
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(first), 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(chunks, "", "rows in chunks while a neighbour queries between them") {
    PGconn *first = open_handle(), *second = open_handle();
    __typeof__(&PQsetChunkedRowsMode) chunked = SINCE(17, PQsetChunkedRowsMode);
    send_query(first, "SELECT generate_series(1, 100)");
    expect_number(chunked(first, 30), 1);
    int rows = 0;
    PGresult *result;
    while ((result = PQgetResult(first))) {
        rows += PQntuples(result);
        expect(PQntuples(result) <= 30);
        PQclear(result);
        send_query(second, "SELECT 'between'");
        only_reply(second, "between");
    }
    expect_number(rows, 100);
    PQfinish(first);
    PQfinish(second);
}

CASE(close_statements, "", "PQsendClosePrepared and PQsendClosePortal") {
    PGconn *first = open_handle(), *second = open_handle();
    __typeof__(&PQsendClosePrepared) close_prepared = SINCE(17, PQsendClosePrepared);
    __typeof__(&PQsendClosePortal) close_portal = SINCE(17, PQsendClosePortal);
    expect_number(PQsendPrepare(first, "gone", "SELECT 1", 0, NULL), 1);
    expect_text(drain(first), "");
    expect_number(close_prepared(first, "gone"), 1);
    expect_text(ask(second, "SELECT 'between'"), "between");
    reply_is(first, PGRES_COMMAND_OK);
    no_more(first);
    expect_number(PQsendQueryPrepared(first, "gone", 0, NULL, NULL, NULL, 0), 1);
    expect_text(drain(first), "26000");
    ask(first, "BEGIN; DECLARE c CURSOR FOR SELECT 1");
    expect_number(close_portal(first, "c"), 1);
    expect_text(drain(first), "");
    send_query(first, "FETCH c");
    expect_text(drain(first), "34000");
    ask(first, "ROLLBACK");
    PQfinish(first);
    PQfinish(second);
}

/* The places in which a handle is left. */
static void in_simple(PGconn *handle) {
    send_query(handle, "SELECT pg_sleep(0.05), 'left'");
}
static void in_answered(PGconn *handle) {
    send_query(handle, "SELECT 'left'");
    wait_while_busy(handle);
}
static void in_single_rows(PGconn *handle) {
    send_query(handle, "SELECT generate_series(1, 50000)");
    expect_number(PQsetSingleRowMode(handle), 1);
    reply_is(handle, PGRES_SINGLE_TUPLE);
}
static void in_copy_in(PGconn *handle) {
    send_query(handle, "COPY crate FROM STDIN");
    reply_is(handle, PGRES_COPY_IN);
    expect_number(PQputCopyData(handle, "1\tleft\n", 7), 1);
}
static void in_copy_out(PGconn *handle) {
    char *buffer;
    send_query(handle, "COPY (SELECT generate_series(1, 50000)) TO STDOUT");
    reply_is(handle, PGRES_COPY_OUT);
    expect(PQgetCopyData(handle, &buffer, 0) > 0);
    PQfreemem(buffer);
}
static void in_pipeline(PGconn *handle) {
    expect_number(PQenterPipelineMode(handle), 1);
    expect_number(send_params(handle, "INSERT INTO crate VALUES (1, 'left')"), 1);
    expect_number(send_params(handle, "SELECT 'left'"), 1);
    expect_number(PQsendFlushRequest(handle), 1);
    expect_number(PQflush(handle), 0);
    reply_is(handle, PGRES_COMMAND_OK);
}
static void in_transaction(PGconn *handle) {
    send_query(handle, "BEGIN; INSERT INTO crate VALUES (1, 'left')");
}
static void in_unflushed(PGconn *handle) {
    char *text = malloc(6 << 20), *at = stpcpy(text, "SELECT pg_sleep(0.05), length('");
    memset(at, 'x', 5 << 20);
    strcpy(at + (5 << 20), "')");
    expect_number(PQsetnonblocking(handle, 1), 0);
    send_query(handle, text);
    free(text);
}
static void (*const places[])(PGconn *) = {in_simple,   in_answered, in_single_rows, in_copy_in,
                                           in_copy_out, in_pipeline, in_transaction, in_unflushed};
enum { PLACES = sizeof places / sizeof *places };

CASE(finish_in_the_middle, "", "PQfinish in the middle of anything leaves nothing to the neighbours") {
    no_trigger();
    PGconn *stays = open_handle();
    for (int i = 0; i < 2 * PLACES; i++) {
        PGconn *goes = open_handle();
        places[i % PLACES](goes);
        if (i >= PLACES)
            expect(PQsocket(goes) >= 0);
        PQfinish(goes);
        send_query(stays, "SELECT 'stays'");
        only_reply(stays, "stays");
        expect_text(ask(stays, "SELECT count(*) FROM crate"), "0");
    }
    expect_backends(1, 1);
    expect_text(control("SELECT count(*) FROM crate"), "0");
    PQfinish(stays);
}

CASE(reset_in_the_middle, "", "PQreset in the middle of anything gives the handle a fresh session") {
    no_trigger();
    PGconn *stays = open_handle(), *handle = open_handle();
    for (int i = 0; i < PLACES; i++) {
        places[i](handle);
        PQreset(handle);
        expect_number(PQstatus(handle), CONNECTION_OK);
        expect_number(PQtransactionStatus(handle), PQTRANS_IDLE);
        expect_number(PQpipelineStatus(handle), PQ_PIPELINE_OFF);
        expect_number(PQisBusy(handle), 0);
        no_more(handle);
        expect(is_ready(handle, POLLOUT, 0) && !is_ready(handle, POLLIN, 0));
        send_query(handle, "SELECT 'fresh'");
        send_query(stays, "SELECT 'stays'");
        wait_while_busy(handle);
        only_reply(handle, "fresh");
        only_reply(stays, "stays");
    }
    expect_text(ask(handle, "SELECT count(*) FROM crate"), "0");
    PQfinish(handle);
    PQfinish(stays);
}
