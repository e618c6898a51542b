/* handovers.c: the moment in which a connection goes to a handle that waits, with other threads in its midst.
 */
#include "case/replies.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Another thread that takes the only connection and gives it back, over and over. */
static PGconn *neighbour;
static pthread_t neighbour_thread;
static _Atomic bool enough;

static void *take_and_give_back(void *nothing) {
    while (!atomic_load(&enough))
        expect_text(ask(neighbour, "SELECT 'neighbour'"), "neighbour");
    return nothing;
}

static void neighbour_begins(void) {
    neighbour = open_handle();
    pthread_create(&neighbour_thread, NULL, take_and_give_back, NULL);
}

static void neighbour_ends(void) {
    atomic_store(&enough, true);
    pthread_join(neighbour_thread, NULL);
    PQfinish(neighbour);
}

CASE(asks_all_the_time, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a handle whose owner calls without a pause while its turn comes gets its own answers, all of them") {
    PGconn *handle = open_handle();
    char sql[40], wanted[16];
    neighbour_begins();
    double end = seconds_now() + 3;
    for (int i = 0; seconds_now() < end; i++) {
        snprintf(wanted, sizeof wanted, "own %d", i);
        snprintf(sql, sizeof sql, "SELECT '%s'", wanted);
        send_query(handle, sql);
        while (PQisBusy(handle)) {
            expect_number(PQconsumeInput(handle), 1);
            expect_text(PQerrorMessage(handle), "");
        }
        only_reply(handle, wanted);
    }
    neighbour_ends();
    PQfinish(handle);
}

CASE(adds_all_the_time, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "in a pipeline that grows while its turn comes no query is refused or lost") {
    enum { QUERIES = 30 };
    PGconn *handle = open_handle();
    char sql[40], wanted[16];
    neighbour_begins();
    double end = seconds_now() + 3;
    while (seconds_now() < end) {
        expect_number(PQenterPipelineMode(handle), 1);
        for (int i = 0; i < QUERIES; i++) {
            snprintf(sql, sizeof sql, "SELECT '%d'", i);
            expect_number(PQsendQueryParams(handle, sql, 0, NULL, NULL, NULL, NULL, 0), 1);
        }
        expect_number(PQpipelineSync(handle), 1);
        for (int i = 0; i < QUERIES; i++) {
            snprintf(wanted, sizeof wanted, "%d", i);
            only_reply(handle, wanted);
        }
        reply_is(handle, PGRES_PIPELINE_SYNC);
        expect_number(PQexitPipelineMode(handle), 1);
    }
    neighbour_ends();
    PQfinish(handle);
}

/* A cancelled connection is cleaned before somebody else has it. */
CASE(cleaned_for_the_first, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a thread that waits while a connection is cleaned gets that one, and none over the cap") {
    PGconn *handle = open_handle();
    PGcancel *cancel = PQgetCancel(handle);
    char problem[256];
    neighbour_begins();
    double end = seconds_now() + 4;
    while (seconds_now() < end) {
        send_query(handle, "SELECT pg_sleep(0.02)");
        sleep_ms(5);
        expect_number(PQcancel(cancel, problem, sizeof problem), 1);
        drain(handle);
    }
    neighbour_ends();
    expect_backends(1, 1);
    expect_number(log_lines(" wait:", "PQONE_MAX_CONNECTIONS=1"), 0);
    PQfreeCancel(cancel);
    PQfinish(handle);
}

CASE(surplus_is_closed, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_LINGER=300ms",
     "a connection that had to go over the cap is closed when it is not needed any more") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    expect_text(ask(second, "SELECT 'inside'"), "inside");
    expect_number(backends(), 2);
    sleep_ms(600);
    expect_number(backends(), 2); /* as long as the first cannot be had it is not too many */
    ask(first, "COMMIT");
    expect_backends(2, 1);
    expect_text(ask(first, "SELECT 'one'"), "one");
    expect_text(ask(second, "SELECT 'two'"), "two");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

static PGcancel *aim;
static _Atomic bool fire;

static void *fire_when_told(void *nothing) {
    char problem[256];
    while (!atomic_load(&enough))
        if (atomic_exchange(&fire, false))
            PQcancel(aim, problem, sizeof problem);
    return nothing;
}

CASE(cancelled_in_any_moment, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a cancel in any moment of a query's delivery never leaves its owner waiting for the number in vain") {
    PGconn *handle = open_handle();
    pthread_t thread;
    aim = PQgetCancel(handle);
    neighbour_begins();
    pthread_create(&thread, NULL, fire_when_told, NULL);
    double end = seconds_now() + 6;
    while (seconds_now() < end) {
        send_query(handle, "SELECT pg_sleep(0.01)");
        atomic_store(&fire, true);
        wait_while_busy(handle);
        drain(handle);
    }
    neighbour_ends();
    pthread_join(thread, NULL);
    PQfreeCancel(aim);
    PQfinish(handle);
}
