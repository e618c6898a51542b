/* asynchronous.c: PQsend* and PQgetResult in all their forms, with a neighbour on the same target in between.
 */
#include "case/replies.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int send_params(PGconn *handle, const char *sql) {
    return PQsendQueryParams(handle, sql, 0, NULL, NULL, NULL, NULL, 0);
}

static void make_crate(void) {
    control("DROP TABLE IF EXISTS crate; CREATE TABLE crate (n int, v text); GRANT ALL ON crate TO PUBLIC");
}

CASE(in_turn, "", "two handles in turn, one query in flight at a time, live on one connection") {
    PGconn *first = open_handle(), *second = open_handle();
    for (int round = 0; round < 20; round++) {
        send_query(first, "SELECT 'first'");
        expect_number(PQtransactionStatus(first), PQTRANS_ACTIVE);
        expect_number(PQtransactionStatus(second), PQTRANS_IDLE);
        only_reply(first, "first");
        expect_number(PQtransactionStatus(first), PQTRANS_IDLE);
        send_with(second, "SELECT 'second ' || $1", "time");
        wait_while_busy(second);
        only_reply(second, "second time");
    }
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(prepared, "", "PQsendPrepare, PQsendQueryPrepared and the describe calls") {
    const char *values[] = {"41"};
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQsendPrepare(first, "plus", "SELECT $1::int + 1", 1, NULL), 1);
    expect_text(drain(first), "");
    expect_text(ask(second, "SELECT 'between'"), "between");
    expect_number(PQsendQueryPrepared(first, "plus", 1, values, NULL, NULL, 0), 1);
    only_reply(first, "42");
    expect_number(PQsendQueryPrepared(second, "plus", 1, values, NULL, NULL, 0), 1);
    expect_text(reply_error(second), "26000");
    no_more(second);
    expect_number(PQsendDescribePrepared(first, "plus"), 1);
    PGresult *result = PQgetResult(first);
    expect_number(PQnparams(result), 1);
    PQclear(result);
    no_more(first);
    send_query(first, "BEGIN; DECLARE c CURSOR FOR SELECT 1 AS one, 2 AS two");
    expect_text(drain(first), "");
    expect_number(PQsendDescribePortal(first, "c"), 1);
    result = PQgetResult(first);
    expect_text(PQfname(result, 1), "two");
    PQclear(result);
    no_more(first);
    expect_text(ask(second, "SELECT 'between'"), "between");
    send_query(first, "COMMIT");
    only_reply(first, "COMMIT");
    PQfinish(first);
    PQfinish(second);
}

CASE(unnamed, "", "an unnamed statement prepared without waiting is its handle's alone") {
    const char *values[] = {"41"};
    PGconn *first = open_handle(), *second = open_handle();
    for (int round = 0; round < 3; round++) {
        expect_number(PQsendPrepare(first, "", "SELECT $1::int + 1", 1, NULL), 1);
        expect_text(drain(first), "");
        expect_number(PQsendQueryPrepared(second, "", 1, values, NULL, NULL, 0), 1);
        expect_text(drain(second), "26000");
        expect_number(PQsendQueryPrepared(first, "", 1, values, NULL, NULL, 0), 1);
        only_reply(first, "42");
        ask(first, "SELECT 1");
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(single_row, "", "single-row mode: a row for each PQgetResult, a neighbour's query for each row") {
    PGconn *first = open_handle(), *second = open_handle();
    char wanted[32];
    expect_number(PQsetSingleRowMode(first), 0);
    send_query(first, "SELECT generate_series(1, 20)");
    expect_number(PQsetSingleRowMode(first), 1);
    for (int row = 1; row <= 20; row++) {
        PGresult *result = PQgetResult(first);
        expect_number(PQresultStatus(result), PGRES_SINGLE_TUPLE);
        snprintf(wanted, sizeof wanted, "%d", row);
        expect_text(PQgetvalue(result, 0, 0), wanted);
        PQclear(result);
        send_with(second, "SELECT $1", wanted);
        only_reply(second, wanted);
    }
    PGresult *result = PQgetResult(first);
    expect_number(PQresultStatus(result), PGRES_TUPLES_OK);
    expect_number(PQntuples(result), 0);
    PQclear(result);
    no_more(first);
    send_query(first, "SELECT generate_series(1, 3)");
    result = PQgetResult(first);
    expect_number(PQntuples(result), 3);
    PQclear(result);
    no_more(first);
    PQfinish(first);
    PQfinish(second);
}

CASE(single_row_before_a_pipeline, "",
     "row after row is what one handle asked for, and not how a pipeline of another begins") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(second, "SELECT 1"), "1");
    send_query(first, "SELECT generate_series(1, 3)");
    expect_number(PQsetSingleRowMode(first), 1);
    expect_text(drain(first), "");
    expect_number(PQenterPipelineMode(second), 1);
    expect_number(send_params(second, "SELECT generate_series(1, 3)"), 1);
    expect_number(PQpipelineSync(second), 1);
    PGresult *result = PQgetResult(second);
    expect_number(PQresultStatus(result), PGRES_TUPLES_OK);
    expect_number(PQntuples(result), 3);
    PQclear(result);
    expect(PQgetResult(second) == NULL);
    result = PQgetResult(second);
    expect_number(PQresultStatus(result), PGRES_PIPELINE_SYNC);
    PQclear(result);
    expect_number(PQexitPipelineMode(second), 1);
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(many_statements, "", "several statements in one PQsendQuery; an error ends them") {
    make_crate();
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "SELECT 'one'; INSERT INTO crate VALUES (1), (2); SELECT count(*) FROM crate");
    expect_text(reply(first), "one");
    expect_text(ask(second, "SELECT 'between'"), "between");
    expect_text(reply(first), "INSERT 0 2");
    expect_text(reply(first), "2");
    no_more(first);
    send_query(first, "INSERT INTO crate VALUES (3); SELECT 1/0; INSERT INTO crate VALUES (4)");
    expect_text(reply(first), "INSERT 0 1");
    expect_text(reply_error(first), "22012");
    expect_part(PQerrorMessage(first), "division by zero");
    no_more(first);
    expect_text(PQerrorMessage(second), "");
    send_query(second, "SELECT count(*) FROM crate");
    only_reply(second, "2");
    send_query(first, "");
    reply_is(first, PGRES_EMPTY_QUERY);
    no_more(first);
    expect_text(PQerrorMessage(first), "");
    PQfinish(first);
    PQfinish(second);
}

CASE(large_query, "",
     "a statement larger than any socket's buffer goes out by PQflush, and nothing of it is lost") {
    enum { SIZE = 6 << 20 };
    PGconn *first = open_handle(), *second = open_handle();
    char *text = malloc(SIZE + 64), *at = stpcpy(text, "SELECT length('");
    memset(at, 'x', SIZE);
    strcpy(at + SIZE, "')");
    ask(second, "SELECT 1");
    expect_number(PQsetnonblocking(first, 1), 0);
    for (int round = 0; round < 3; round++) {
        int unsent, waits = 0;
        send_query(first, text);
        while ((unsent = PQflush(first)) == 1) {
            expect(is_ready(first, POLLIN | POLLOUT, 10000));
            expect_number(PQconsumeInput(first), 1);
            waits++;
        }
        expect_number(unsent, 0);
        expect(waits > 0);
        wait_while_busy(first);
        only_reply(first, "6291456");
        send_query(second, "SELECT 'small'");
        only_reply(second, "small");
    }
    free(text);
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(large_result, "",
     "a result of some megabytes by PQconsumeInput and PQisBusy, without and with PQsocket") {
    PGconn *first = open_handle(), *second = open_handle();
    for (int by_socket = 0; by_socket < 2; by_socket++) {
        send_query(first, "SELECT md5(i::text) FROM generate_series(1, 60000) i");
        double deadline = seconds_now() + 20;
        while (!by_socket && PQisBusy(first) && seconds_now() < deadline) {
            sleep_ms(1);
            expect_number(PQconsumeInput(first), 1);
        }
        wait_while_busy(first);
        PGresult *result = PQgetResult(first);
        expect_number(PQntuples(result), 60000);
        PQclear(result);
        no_more(first);
        expect_text(ask(second, "SELECT 2"), "2");
    }
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

/* What libpq says of a handle that asks nothing. */
static void is_idle(PGconn *handle) {
    expect_number(PQtransactionStatus(handle), PQTRANS_IDLE);
    expect_number(PQisBusy(handle), 0);
    expect_number(PQflush(handle), 0);
    expect_number(PQconsumeInput(handle), 1);
    expect(PQgetResult(handle) == NULL);
    expect(PQnotifies(handle) == NULL);
    expect_number(PQsetSingleRowMode(handle), 0);
    expect_number(PQpipelineStatus(handle), PQ_PIPELINE_OFF);
    expect_number(PQexitPipelineMode(handle), 1);
    expect_number(PQpipelineSync(handle), 0);
    expect_part(PQerrorMessage(handle), "cannot send pipeline when not in pipeline mode");
    expect_number(PQputCopyData(handle, "1\n", 2), -1);
    expect_part(PQerrorMessage(handle), "no COPY in progress");
    char *buffer;
    expect_number(PQgetCopyData(handle, &buffer, 1), -2);
    expect_part(PQerrorMessage(handle), "no COPY in progress");
    expect_number(PQsendFlushRequest(handle), 1);
    expect_number(PQisBusy(handle), 0);
    expect(!is_ready(handle, POLLIN, 0));
    expect(is_ready(handle, POLLOUT, 0));
}

CASE(idle, "", "what an idle handle answers, never used, used before, and while another is busy") {
    PGconn *first = open_handle(), *second = open_handle();
    is_idle(first);
    is_idle(second);
    send_query(first, "SELECT pg_sleep(0.3)");
    is_idle(second);
    expect_text(drain(first), "");
    is_idle(first);
    ask(second, "SELECT 1");
    is_idle(first);
    is_idle(second);
    PQfinish(first);
    is_idle(second);
    PQfinish(second);
}

CASE(twice, "", "a second PQsend* before the first is read is refused, and the first comes all the same") {
    PGconn *first = open_handle(), *second = open_handle();
    for (int round = 0; round < 3; round++) {
        send_query(first, "SELECT pg_sleep(0.02), 'first'");
        expect_number(PQsendQuery(first, "SELECT 'second'"), 0);
        expect_text(PQerrorMessage(first), "another command is already in progress\n");
        expect_number(send_params(first, "SELECT 'second'"), 0);
        expect_number(PQsendPrepare(first, "s", "SELECT 1", 0, NULL), 0);
        expect_number(PQsendQueryPrepared(first, "s", 0, NULL, NULL, NULL, 0), 0);
        expect_number(PQsendDescribePrepared(first, "s"), 0);
        expect_part(PQerrorMessage(first), "another command is already in progress\n");
        expect_number(PQenterPipelineMode(first), 0);
        expect_text(ask(second, "SELECT 'between'"), "between");
        PGresult *result = PQgetResult(first);
        expect_text(PQgetvalue(result, 0, 1), "first");
        PQclear(result);
        expect_number(PQsendQuery(first, "SELECT 'too early'"), 0);
        no_more(first);
        send_query(first, "SELECT 'now'");
        only_reply(first, "now");
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(null_arguments, "", "missing arguments are refused in libpq's words, and nothing is sent") {
    PGconn *handle = open_handle(), *other = open_handle();
    for (int round = 0; round < 2; round++) {
        expect_number(PQsendQuery(handle, NULL), 0);
        expect_text(PQerrorMessage(handle), "command string is a null pointer\n");
        expect_number(send_params(handle, NULL), 0);
        expect_text(PQerrorMessage(handle), "command string is a null pointer\n");
        expect_number(PQsendQueryParams(handle, "SELECT 1", -1, NULL, NULL, NULL, NULL, 0), 0);
        expect_part(PQerrorMessage(handle), "number of parameters must be between 0 and 65535");
        expect_number(PQsendPrepare(handle, NULL, "SELECT 1", 0, NULL), 0);
        expect_text(PQerrorMessage(handle), "statement name is a null pointer\n");
        expect_number(PQsendPrepare(handle, "", NULL, 0, NULL), 0);
        expect_text(PQerrorMessage(handle), "command string is a null pointer\n");
        expect_number(PQsendQueryPrepared(handle, NULL, 0, NULL, NULL, NULL, 0), 0);
        expect_text(PQerrorMessage(handle), "statement name is a null pointer\n");
        expect_number(PQtransactionStatus(handle), PQTRANS_IDLE);
        no_more(handle);
        expect_text(ask(other, "SELECT 1"), "1");
    }
    expect_number(PQsendQuery(NULL, "SELECT 1"), 0);
    expect_number(PQisBusy(NULL), 0);
    expect_number(PQconsumeInput(NULL), 0);
    expect_number(PQflush(NULL), -1);
    expect(PQgetResult(NULL) == NULL);
    expect(PQnotifies(NULL) == NULL);
    expect_number(PQsocket(NULL), -1);
    PQfinish(handle);
    PQfinish(other);
}

struct heard {
    int count;
    char last[200];
};

static void hear(void *heard, const PGresult *notice) {
    struct heard *by = heard;
    by->count++;
    snprintf(by->last, sizeof by->last, "%s", PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
}

CASE(notices, "", "a notice in the middle of what was sent reaches its own handle's receiver alone") {
    struct heard ears[2] = {{0, ""}, {0, ""}};
    PGconn *handles[2] = {open_handle(), open_handle()};
    for (int i = 0; i < 2; i++)
        PQsetNoticeReceiver(handles[i], hear, &ears[i]);
    for (int round = 1; round <= 5; round++)
        for (int i = 0; i < 2; i++) {
            char sql[100], wanted[100];
            snprintf(sql, sizeof sql, "SELECT 1; DROP TABLE IF EXISTS h%d_%d; SELECT 2", i, round);
            snprintf(wanted, sizeof wanted, "table \"h%d_%d\" does not exist, skipping", i, round);
            send_query(handles[i], sql);
            expect_text(reply(handles[i]), "1");
            expect_text(reply(handles[i]), "DROP TABLE");
            only_reply(handles[i], "2");
            expect_text(ears[i].last, wanted);
            expect_number(ears[i].count, round);
            expect_number(ears[1 - i].count, i ? round : round - 1);
        }
    expect_backends(2, 1);
    PQfinish(handles[0]);
    PQfinish(handles[1]);
}

CASE(notify, "", "a NOTIFY sent without waiting reaches the listener's number, and no other handle") {
    PGconn *listener = open_handle(), *sender = open_handle(), *other = open_handle();
    ask(listener, "LISTEN news");
    for (int round = 0; round < 3; round++) {
        send_query(sender, "NOTIFY news, 'extra'");
        expect_text(drain(sender), "");
        expect(is_ready(listener, POLLIN, 5000));
        expect_number(PQconsumeInput(listener), 1);
        PGnotify *notify = PQnotifies(listener);
        expect(notify != NULL);
        expect_text(notify->relname, "news");
        expect_text(notify->extra, "extra");
        PQfreemem(notify);
        expect(PQnotifies(listener) == NULL);
        expect(!is_ready(listener, POLLIN, 20));
        expect_number(PQconsumeInput(other), 1);
        expect(PQnotifies(other) == NULL);
        expect_text(ask(other, "SELECT 'between'"), "between");
    }
    PQfinish(listener);
    PQfinish(sender);
    PQfinish(other);
}

CASE(transactions, "", "a transaction that is sent piece by piece is its handle's alone") {
    make_crate();
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "BEGIN");
    only_reply(first, "BEGIN");
    expect_number(PQtransactionStatus(first), PQTRANS_INTRANS);
    send_query(first, "INSERT INTO crate VALUES (1, 'first')");
    send_query(second, "SELECT count(*) FROM crate");
    only_reply(second, "0");
    only_reply(first, "INSERT 0 1");
    send_query(second, "INSERT INTO crate VALUES (2, 'second')");
    only_reply(second, "INSERT 0 1");
    send_query(first, "SELECT 1/0");
    expect_text(drain(first), "22012");
    expect_number(PQtransactionStatus(first), PQTRANS_INERROR);
    expect_number(PQtransactionStatus(second), PQTRANS_IDLE);
    send_query(second, "SELECT 'fine'");
    only_reply(second, "fine");
    send_query(first, "COMMIT");
    only_reply(first, "ROLLBACK");
    expect_text(control("SELECT string_agg(v, ',') FROM crate"), "second");
    PQfinish(first);
    PQfinish(second);
}
