/* capacity.c: too many connections, caps and waits: no error where waiting helps, no hang where it does not.
 */
#include "case/case.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_barrier_t everybody;
static atomic_int failures, answers;
static char first_failure[512];

static void note_failure(PGconn *handle) {
    if (atomic_fetch_add(&failures, 1) == 0)
        snprintf(first_failure, sizeof first_failure, "%s", PQerrorMessage(handle));
}

static void *ten_requests(void *conninfo) {
    PGconn *handle = PQconnectdb(conninfo);
    if (PQstatus(handle) != CONNECTION_OK)
        note_failure(handle);
    pthread_barrier_wait(&everybody);
    for (int i = 0; i < 10; i++) {
        PGresult *result = PQexec(handle, i % 2 ? "SELECT 1" : "SELECT pg_sleep(0.01)");
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            atomic_fetch_add(&answers, 1);
        else
            note_failure(handle);
        PQclear(result);
    }
    pthread_barrier_wait(&everybody);
    PQfinish(handle);
    return NULL;
}

static void requests(int threads, const char *conninfo) {
    pthread_t thread[32];
    pthread_barrier_init(&everybody, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, ten_requests, (void *)conninfo);
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

CASE(role_of_four, "",
     "12 threads with a handle each under a role limited to 4 finish 120 requests without an error") {
    requests(12, "dbname=shop user=four");
    if (sharing()) {
        expect_text(first_failure, "");
        expect_number(atomic_load(&answers), 120);
    } else {
        expect_part(first_failure, "too many connections for role \"four\"");
    }
}

static void *ten_transactions(void *unused) {
    PGconn *handle = PQconnectdb("dbname=shop user=four");
    pthread_barrier_wait(&everybody);
    for (int i = 0; i < 10 && sharing(); i++) {
        ask(handle, "BEGIN");
        ask(handle, "SELECT pg_sleep(0.005)");
        ask(handle, i % 3 ? "COMMIT" : "ROLLBACK");
        atomic_fetch_add(&answers, 1);
    }
    pthread_barrier_wait(&everybody);
    PQfinish(handle);
    return unused;
}

CASE(role_of_four_transactions, "", "12 threads with transactions under a role limited to 4 all commit") {
    pthread_t thread[12];
    pthread_barrier_init(&everybody, NULL, 12);
    for (int i = 0; i < 12; i++)
        pthread_create(&thread[i], NULL, ten_transactions, NULL);
    for (int i = 0; i < 12; i++)
        pthread_join(thread[i], NULL);
    expect_number(atomic_load(&answers), sharing() ? 120 : 0);
}

CASE(cap_of_one, "PQONE_MAX_CONNECTIONS=1", "four threads on one connection wait for one another") {
    requests(4, "dbname=shop user=app");
    expect_text(first_failure, "");
    expect_number(atomic_load(&answers), 40);
    if (sharing())
        expect(backends() <= 1);
}

CASE(own_transaction_at_cap, "PQONE_MAX_CONNECTIONS=1",
     "a thread that holds a transaction and needs a second handle goes over the cap instead of waiting for "
     "itself") {
    double start = seconds_now();
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    expect_text(ask(second, "SELECT 2"), "2");
    expect_number(backends(), 2);
    ask(first, "COMMIT");
    expect(seconds_now() - start < 5);
    if (sharing())
        expect(log_lines(" wait:", NULL) >= 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(own_exchange_at_cap, "PQONE_MAX_CONNECTIONS=1",
     "a thread with an unread result on one handle can still use another") {
    double start = seconds_now();
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQsendQuery(first, "SELECT 1"), 1);
    expect_text(ask(second, "SELECT 2"), "2");
    PGresult *result = PQgetResult(first);
    expect_text(PQgetvalue(result, 0, 0), "1");
    PQclear(result);
    expect(PQgetResult(first) == NULL);
    expect(seconds_now() - start < 5);
    PQfinish(first);
    PQfinish(second);
}

CASE(pinned_at_cap, "PQONE_MAX_CONNECTIONS=1", "a pinned handle at the cap does not starve the others") {
    double start = seconds_now();
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "CREATE TEMP TABLE basket (n int)");
    expect_text(ask(second, "SELECT 2"), "2");
    expect_text(ask(first, "SELECT count(*) FROM basket"), "0");
    expect(seconds_now() - start < 5);
    PQfinish(first);
    PQfinish(second);
}

PGconn *open_the_holder(void);
__attribute__((noinline)) PGconn *open_the_holder(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    expect_number(PQstatus(handle), CONNECTION_OK);
    return handle;
}

static void *hold_for_two_seconds(void *unused) {
    PGconn *handle = open_the_holder();
    pthread_barrier_wait(&everybody);
    ask(handle, "SELECT pg_sleep(2)");
    PQfinish(handle);
    return unused;
}

CASE(wait_timeout, "PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=300ms",
     "a wait that takes too long fails as libpq fails, and names the holder's call site") {
    pthread_t holder;
    pthread_barrier_init(&everybody, NULL, 2);
    pthread_create(&holder, NULL, hold_for_two_seconds, NULL);
    pthread_barrier_wait(&everybody);
    sleep_ms(200);
    PGconn *handle = open_handle();
    double start = seconds_now();
    PGresult *result = PQexec(handle, "SELECT 1");
    double waited = seconds_now() - start;
    if (sharing()) {
        expect(result == NULL || PQresultStatus(result) == PGRES_FATAL_ERROR);
        expect_part(PQerrorMessage(handle), "open_the_holder");
        expect(waited > 0.25 && waited < 1.5);
        expect_number(backends(), 1);
    } else {
        expect_number(PQresultStatus(result), PGRES_TUPLES_OK);
    }
    PQclear(result);
    pthread_join(holder, NULL);
    expect_text(ask(handle, "SELECT 'later'"), "later");
    PQfinish(handle);
}

CASE(refused_to_one_thread, "",
     "one thread with more open transactions than the role may have gets the refusal, no hang") {
    PGconn *handles[6];
    int refusals = 0;
    double start = seconds_now();
    for (int i = 0; i < 6; i++) {
        handles[i] = PQconnectdb("dbname=shop user=four");
        PGresult *result = PQstatus(handles[i]) == CONNECTION_OK ? PQexec(handles[i], "BEGIN") : NULL;
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            expect_part(PQerrorMessage(handles[i]), "too many connections for role \"four\"");
            refusals++;
        }
        PQclear(result);
    }
    expect_number(refusals, 2);
    expect(seconds_now() - start < 5);
    for (int i = 0; i < 6; i++)
        PQfinish(handles[i]);
}

CASE(room_from_other_targets, "",
     "on too many connections the process's own idle ones to that server make room") {
    PGconn *handles[4];
    for (int i = 0; i < 4; i++) {
        handles[i] = PQconnectdb("dbname=shop user=four");
        ask(handles[i], "BEGIN");
    }
    for (int i = 0; i < 4; i++)
        ask(handles[i], "COMMIT");
    expect_number(role_backends("four"), 4);
    PGconn *other = PQconnectdb("dbname=other user=four");
    if (sharing()) {
        expect_text(PQerrorMessage(other), "");
        expect_text(ask(other, "SELECT current_database()"), "other");
    } else {
        expect_part(PQerrorMessage(other), "too many connections for role \"four\"");
    }
    PQfinish(other);
    for (int i = 0; i < 4; i++)
        PQfinish(handles[i]);
}

CASE(connect_never_waits, "PQONE_MAX_CONNECTIONS=1", "PQconnectdb at the cap returns at once") {
    pthread_t holder;
    pthread_barrier_init(&everybody, NULL, 2);
    pthread_create(&holder, NULL, hold_for_two_seconds, NULL);
    pthread_barrier_wait(&everybody);
    sleep_ms(100);
    double start = seconds_now();
    PGconn *handle = open_handle();
    expect(seconds_now() - start < 1);
    expect_number(PQstatus(handle), CONNECTION_OK);
    PQfinish(handle);
    pthread_join(holder, NULL);
}

static void *open_one(void *slot) {
    pthread_barrier_wait(&everybody);
    *(PGconn **)slot = open_handle();
    return NULL;
}

CASE(single_flight, "", "concurrent first connects of one target make one connection") {
    enum { THREADS = 16 };
    pthread_t thread[THREADS];
    PGconn *handles[THREADS];
    pthread_barrier_init(&everybody, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, open_one, &handles[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    expect_backends(THREADS, 1);
    for (int i = 0; i < THREADS; i++)
        PQfinish(handles[i]);
}
