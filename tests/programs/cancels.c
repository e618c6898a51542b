/* cancels.c: a cancel reaches the handle's own query or nothing. */
#include "case/case.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sleeper {
    PGconn *handle;
    const char *sql;
    char state[8];
    double took;
};

static void *sleep_in_server(void *argument) {
    struct sleeper *one = argument;
    double start = seconds_now();
    PGresult *result = PQexec(one->handle, one->sql);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    snprintf(one->state, sizeof one->state, "%s", state ? state : "");
    PQclear(result);
    one->took = seconds_now() - start;
    return NULL;
}

static void cancel_now(PGconn *handle) {
    char problem[256] = "";
    PGcancel *cancel = PQgetCancel(handle);
    expect(cancel != NULL);
    expect_number(PQcancel(cancel, problem, sizeof problem), 1);
    expect_text(problem, "");
    PQfreeCancel(cancel);
}

CASE(own_query, "", "PQcancel from another thread ends its handle's query and no other") {
    pthread_t threads[2];
    struct sleeper one = {open_handle(), "SELECT pg_sleep(10)", "", 0};
    struct sleeper two = {open_handle(), "SELECT pg_sleep(0.8)", "", 0};
    pthread_create(&threads[0], NULL, sleep_in_server, &one);
    pthread_create(&threads[1], NULL, sleep_in_server, &two);
    sleep_ms(300);
    cancel_now(one.handle);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    expect_text(one.state, "57014");
    expect(one.took < 5);
    expect_text(two.state, "");
    expect_text(ask(one.handle, "SELECT 'usable'"), "usable");
    PQfinish(one.handle);
    PQfinish(two.handle);
}

CASE(idle_handle, "",
     "the cancel of a handle without a query does not reach the one that runs on its connection") {
    pthread_t thread;
    PGconn *idle = open_handle();
    expect_text(ask(idle, "SELECT 1"), "1");
    struct sleeper busy = {open_handle(), "SELECT pg_sleep(1)", "", 0};
    PGcancel *cancel = PQgetCancel(idle);
    pthread_create(&thread, NULL, sleep_in_server, &busy);
    for (int i = 0; i < 5; i++) {
        char problem[256];
        sleep_ms(100);
        PQcancel(cancel, problem, sizeof problem);
    }
    pthread_join(thread, NULL);
    expect_text(busy.state, "");
    PQfreeCancel(cancel);
    PQfinish(idle);
    PQfinish(busy.handle);
}

CASE(asked_for_only, "", "PQgetCancel alone does not pin: two handles that have one share a backend") {
    PGconn *first = open_handle(), *second = open_handle();
    PGcancel *one = PQgetCancel(first), *two = PQgetCancel(second);
    expect(one != NULL);
    expect(two != NULL);
    for (int i = 0; i < 3; i++) {
        expect_text(ask(first, "SELECT 1"), "1");
        expect_text(ask(second, "SELECT 2"), "2");
    }
    expect_backends(2, 1);
    PQfreeCancel(one);
    PQfinish(first);
    PQfinish(second);
    PQfreeCancel(two);
}

CASE(outlives_handle, "", "a PGcancel that outlives its handle hits nobody") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SELECT 1");
    PGcancel *cancel = PQgetCancel(first);
    PQfinish(first);
    struct sleeper busy = {second, "SELECT pg_sleep(0.6)", "", 0};
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_in_server, &busy);
    for (int i = 0; i < 4; i++) {
        char problem[256];
        sleep_ms(100);
        PQcancel(cancel, problem, sizeof problem);
    }
    pthread_join(thread, NULL);
    expect_text(busy.state, "");
    PQfreeCancel(cancel);
    PQfinish(second);
}

static PGcancel *of_signal;
static void on_alarm(int signal_number) {
    char problem[256];
    (void)signal_number;
    if (!PQcancel(of_signal, problem, sizeof problem))
        abort();
}

CASE(from_signal_handler, "",
     "PQcancel from a signal handler ends the query that the same thread waits for") {
    PGconn *first = open_handle(), *second = open_handle();
    of_signal = PQgetCancel(first);
    signal(SIGALRM, on_alarm);
    ask(second, "SELECT 1");
    ualarm(400000, 0);
    double start = seconds_now();
    expect_text(refused(first, "SELECT pg_sleep(10)"), "57014");
    expect(seconds_now() - start < 5);
    expect_text(ask(second, "SELECT 2"), "2");
    expect_text(ask(first, "SELECT 3"), "3");
    PQfreeCancel(of_signal);
    PQfinish(first);
    PQfinish(second);
}

/* ruby-pg does it so: pid and secret out of libpq's private struct, the address from the socket. */
CASE(by_hand, "",
     "a request that the program sends itself, with the numbers in PGcancel, ends its handle's query") {
    struct {
        struct {
            struct sockaddr_storage address;
            socklen_t length;
        } peer;
        int backend_pid, secret;
    } * key;
    if (PQlibVersion() >= 180000)
        skip("libpq 18 keeps other things in PGcancel");
    PGconn *handle = open_handle(), *other = open_handle();
    expect_text(ask(other, "SELECT 1"), "1");
    expect_number(PQsendQuery(handle, "SELECT pg_sleep(10)"), 1);
    expect_number(PQflush(handle), 0);
    sleep_ms(200);
    int pid = PQbackendPID(handle);
    PGcancel *cancel = PQgetCancel(handle);
    memcpy(&key, &cancel, sizeof key);
    expect_number(key->backend_pid, pid);
    uint32_t request[4] = {htonl(16), htonl(1234 << 16 | 5678), htonl((uint32_t)key->backend_pid),
                           htonl((uint32_t)key->secret)};
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    expect_number(getpeername(PQsocket(handle), (struct sockaddr *)&address, &length), 0);
    int line = socket(address.ss_family, SOCK_STREAM, 0);
    expect_number(connect(line, (struct sockaddr *)&address, length), 0);
    expect_number(write(line, request, sizeof request), sizeof request);
    expect_number(read(line, request, 1), 0);
    close(line);
    PQfreeCancel(cancel);
    PGresult *result = PQgetResult(handle);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    expect(PQgetResult(handle) == NULL);
    expect_text(ask(handle, "SELECT 'usable'"), "usable");
    PQfinish(handle);
    PQfinish(other);
}

CASE(request_cancel, "", "PQrequestCancel ends its handle's query") {
    PGconn *handle = open_handle();
    expect_number(PQsendQuery(handle, "SELECT pg_sleep(10)"), 1);
    sleep_ms(200);
    expect_number(PQrequestCancel(handle), 1);
    PGresult *result = PQgetResult(handle);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    expect(PQgetResult(handle) == NULL);
    PQfinish(handle);
}

static atomic_bool stop;
static void *cancel_all_the_time(void *cancel) {
    while (!stop) {
        char problem[256];
        PQcancel(cancel, problem, sizeof problem);
        sleep_ms(3);
    }
    return NULL;
}

CASE(storm, "", "a storm of cancels on one handle never reaches the queries of another") {
    pthread_t thread;
    PGconn *target = open_handle(), *bystander = open_handle();
    PGcancel *cancel = PQgetCancel(target);
    pthread_create(&thread, NULL, cancel_all_the_time, cancel);
    double end = seconds_now() + 2;
    while (seconds_now() < end) {
        PGresult *result = PQexec(target, "SELECT pg_sleep(0.002)");
        if (PQresultStatus(result) != PGRES_TUPLES_OK)
            expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
        PQclear(result);
        expect_text(ask(bystander, "SELECT 'untouched'"), "untouched");
    }
    stop = 1;
    pthread_join(thread, NULL);
    PQfreeCancel(cancel);
    PQfinish(target);
    PQfinish(bystander);
}

#ifdef LIBPQ_HAS_ASYNC_CANCEL
CASE(cancel_connection, "", "PQcancelCreate and PQcancelBlocking end their handle's query") {
    PGconn *handle = open_handle();
    expect_number(PQsendQuery(handle, "SELECT pg_sleep(10)"), 1);
    sleep_ms(200);
    PGcancelConn *cancel = PQcancelCreate(handle);
    expect_number(PQcancelBlocking(cancel), 1);
    PQcancelFinish(cancel);
    PGresult *result = PQgetResult(handle);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    PQfinish(handle);
}
#endif
