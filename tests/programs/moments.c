/* moments.c: a queued query whose connection comes, or whose wait ends, just when its owner does something.
 */
#define _GNU_SOURCE
#include "case/replies.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECONDS = 3 };

/* Another thread has the only connection, again and again, for moments. */
static atomic_bool over;
static void *ask_again_and_again(void *argument) {
    PGconn *handle = argument;
    while (!over) {
        expect_text(ask(handle, "SELECT 'the other''s', pg_sleep(0.001)"), "the other's");
        usleep((useconds_t)(random() % 200));
    }
    return NULL;
}
static pthread_t other_thread;
static PGconn *other;
static void begin_to_ask(void) {
    other = open_handle();
    pthread_create(&other_thread, NULL, ask_again_and_again, other);
}
static void ask_no_more(void) {
    over = true;
    pthread_join(other_thread, NULL);
    PQfinish(other);
}

CASE(looked_at, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "what a program may ask a queued handle any time leaves the connection alone that just comes to it") {
    PGconn *handle = open_handle();
    char sql[80], wanted[24];
    begin_to_ask();
    for (double until = seconds_now() + SECONDS; seconds_now() < until;) {
        snprintf(wanted, sizeof wanted, "%ld", random());
        snprintf(sql, sizeof sql, "SELECT '%s'", wanted);
        send_query(handle, sql);
        for (double look = seconds_now() + 0.003; seconds_now() < look;) {
            expect_text(PQparameterStatus(handle, "client_encoding"), "UTF8");
            expect_number(PQstatus(handle), CONNECTION_OK);
            expect_number(PQclientEncoding(handle), 6);
            expect_text(PQerrorMessage(handle), "");
        }
        only_reply(handle, wanted);
    }
    ask_no_more();
    expect_number(log_lines(" wait:", "over PQONE_MAX_CONNECTIONS"), 0);
    expect_backends(1, 1);
    PQfinish(handle);
}

CASE(failed_unseen, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=300ms",
     "a wait that came to nothing before the program first asks for its number is shown by the number") {
    PGconn *holder = open_handle(), *handle = open_handle();
    ask(holder, "BEGIN");
    ask(holder, "SELECT 1");
    send_query(handle, "SELECT 'served'");
    sleep_ms(450);
    expect(is_ready(handle, POLLIN, 1000));
    expect_number(PQconsumeInput(handle), 1);
    expect_number(PQisBusy(handle), 0);
    expect_text(drain(handle), sharing() ? "53300" : "");
    ask(holder, "COMMIT");
    send_query(handle, "SELECT 'later'");
    wait_while_busy(handle);
    only_reply(handle, "later");
    PQfinish(holder);
    PQfinish(handle);
}

CASE(pipeline_goes_on, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=300ms",
     "what is sent into a pipeline whose wait has failed is aborted, up to its sync") {
    PGconn *holder = open_handle(), *handle = open_handle();
    ask(holder, "BEGIN");
    ask(holder, "SELECT 1");
    expect_number(PQenterPipelineMode(handle), 1);
    send_with(handle, sharing() ? "SELECT $1" : "SELECT $1::int", "one");
    expect_number(PQsendFlushRequest(handle), 1);
    expect_number(PQflush(handle), 0);
    wait_while_busy(handle);
    send_with(handle, "SELECT $1", "two");
    expect_text(reply_error(handle), sharing() ? "53300" : "22P02");
    no_more(handle);
    reply_is(handle, PGRES_PIPELINE_ABORTED);
    no_more(handle);
    send_with(handle, "SELECT $1", "three");
    expect_number(PQpipelineSync(handle), 1);
    reply_is(handle, PGRES_PIPELINE_ABORTED);
    no_more(handle);
    reply_is(handle, PGRES_PIPELINE_SYNC);
    ask(holder, "COMMIT");
    send_with(handle, "SELECT $1", "four");
    expect_number(PQpipelineSync(handle), 1);
    expect_text(reply(handle), "four");
    no_more(handle);
    reply_is(handle, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(handle), 1);
    PQfinish(holder);
    PQfinish(handle);
}

CASE(pipeline_left, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=300ms",
     "a pipeline whose wait has failed can be left when its results are fetched, without a sync") {
    PGconn *holder = open_handle(), *handle = open_handle();
    ask(holder, "BEGIN");
    ask(holder, "SELECT 1");
    expect_number(PQenterPipelineMode(handle), 1);
    send_with(handle, "SELECT $1", "one");
    expect_number(PQsendFlushRequest(handle), 1);
    expect_number(PQflush(handle), 0);
    wait_while_busy(handle);
    expect_number(PQexitPipelineMode(handle), 0);
    if (sharing())
        expect_text(reply_error(handle), "53300");
    else
        expect_text(reply(handle), "one");
    no_more(handle);
    expect_number(PQexitPipelineMode(handle), 1);
    ask(holder, "COMMIT");
    if (sharing())
        expect_text(ask(handle, "SELECT 'later'"), "later");
    PQfinish(holder);
    PQfinish(handle);
}

CASE(no_unnamed_statement, "",
     "where nobody shares, the server itself is asked for an unnamed statement that nobody prepared") {
    PGconn *handle = open_handle();
    expect_number(PQsendQueryPrepared(handle, "", 0, NULL, NULL, NULL, 0), 1);
    expect_text(reply_error(handle), "26000");
    if (!sharing())
        expect_part(PQerrorMessage(handle), "unnamed prepared statement does not exist");
    no_more(handle);
    PQfinish(handle);
}

CASE(another_view, "PQONE_MODE=share",
     "where new connections give another view of the server, a queued query gets one of them, and not one "
     "after "
     "the other") {
    control("ALTER ROLE app RESET IntervalStyle");
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SELECT 1");
    control("ALTER ROLE app SET IntervalStyle = 'iso_8601'");
    send_query(first, "SELECT pg_sleep(1)");
    send_query(second, "SELECT 'served', pg_sleep(0.3)");
    wait_while_busy(second);
    only_reply(second, "served");
    expect_number(role_backends("app"), 2);
    expect_text(PQparameterStatus(second, "IntervalStyle"), sharing() ? "iso_8601" : "postgres");
    wait_while_busy(first);
    expect_text(drain(first), "");
    control("ALTER ROLE app RESET IntervalStyle");
    PQfinish(first);
    PQfinish(second);
}

CASE(unused_while_queued, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_LEAK_THRESHOLD=300ms",
     "the warning of a handle that nobody uses names the statement that was queued last") {
    PGconn *holder = open_handle(), *handle = open_handle();
    ask(holder, "BEGIN");
    ask(holder, "SELECT 1");
    send_query(handle, "SELECT 2, 'queued'");
    sleep_ms(600);
    if (sharing())
        expect(log_lines(" leak:", "last statement: SELECT ?, ?") >= 1);
    expect_text(drain(handle), "");
    PQfinish(handle);
    PQfinish(holder);
}

CASE(cancelled_in_child, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a forked child that cancels a queued query before anything else leaves the parent's number alone") {
    PGconn *first = open_handle(), *handle = open_handle();
    char problem[256];
    expect(is_ready(handle, POLLOUT, 0));
    send_query(first, "SELECT pg_sleep(1)");
    send_query(handle, sharing() ? "SELECT 'served'" : "SELECT 'served', pg_sleep(1)");
    PGcancel *cancel = PQgetCancel(handle);
    pid_t child = fork();
    if (child == 0) {
        if (sharing()) /* bare, it cancels what the parent runs */
            PQcancel(cancel, problem, sizeof problem);
        _exit(0);
    }
    expect_number(child_status(child), 0);
    expect(!is_ready(handle, POLLIN, 50));
    wait_while_busy(first);
    expect_text(drain(first), "");
    wait_while_busy(handle);
    only_reply(handle, "served");
    PQfreeCancel(cancel);
    PQfinish(handle);
    PQfinish(first);
}
